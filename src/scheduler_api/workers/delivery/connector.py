"""The pool of connections to targets: how many are kept, and how much each may say before it answers."""

import asyncio
from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader

#: Informational answers (1xx) that a call takes before the one that counts.
INFORMATIONAL_LIMIT = 20
#: Bytes that are parsed at once until then: few enough for the event loop to be free again soon.
SLICE = 1024


class Connector(aiohttp.TCPConnector):
    """Keeps at most `idle` connections for calls to come."""

    def __init__(self, idle: int, **options: Any) -> None:
        super().__init__(**options)
        self._idle = idle
        # There is no public switch for it.
        self._factory = cast("partial[ResponseHandler]", partial(Answers, loop=self._loop))

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        kept = sum(map(len, self._conns.values()))
        super()._release(key, protocol, should_close=should_close or kept >= self._idle)


class Answers(ResponseHandler):
    """Reads the answers on one connection. Informational ones are left out, and too many end the call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._is_awaited = False
        self._informational = 0

    def set_response_params(self, **options: Any) -> None:
        """A request is about to be sent."""
        self._is_awaited, self._informational = True, 0
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        """Parse what came; until the answer has begun, slice by slice."""
        start = 0
        while self._is_awaited and len(data) - start > SLICE:
            super().data_received(data[start : start + SLICE])
            start += SLICE
            if self._exception is not None or self.transport is None:
                return
        super().data_received(data[start:] if start else data)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take an answer whose head has been read."""
        # What comes unasked is not left out: such a connection is not used again.
        if not self._is_awaited or not 100 <= data[0].code < 200 or data[0].code == 101:  # noqa: PLR2004 - RFC 9110
            self._is_awaited = False
            super().feed_data(data, size)
            return
        self._informational += 1
        if self._informational == INFORMATIONAL_LIMIT + 1:
            message = f"more than {INFORMATIONAL_LIMIT} informational answers"
            self.set_exception(HttpProcessingError(message=message))
            if self.transport is not None:
                self.transport.close()
