"""A sign of life for a dead-man service, such as Healthchecks: it alarms when the signs stop."""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from scheduler_api.targets import Guard
from scheduler_api.targets.addresses import ANYWHERE
from scheduler_api.workers.delivery.client import Call, Client
from scheduler_api.workers.loops import Loop

log = structlog.get_logger(__name__)

#: Seconds between two signs of life; and until the next look where there was no reason for one.
EVERY, AGAIN = 60.0, 5.0
#: Seconds that the service may take to answer.
PATIENCE = 10.0


@contextlib.asynccontextmanager
async def sent(url: str | None, standstill: Callable[[], Sequence[str]]) -> AsyncIterator[None]:
    """Send them meanwhile, if there is an address; `{hostname}` in it is that of this machine."""
    if url is None:
        yield
        return
    heartbeat = Heartbeat(url.replace("{hostname}", socket.gethostname()), standstill)
    await heartbeat.start()
    try:
        yield
    finally:
        await heartbeat.stop()


class Heartbeat:
    """Sends one each minute in which this replica has done its work, and none otherwise.

    `standstill` says what of it makes no progress, as sentences. The address is the operator's, and may be
    private; it is as good as a password, and in no log line.
    """

    def __init__(self, url: str, standstill: Callable[[], Sequence[str]]) -> None:
        self._url = url
        self._standstill = standstill
        self._client = Client(Guard(ANYWHERE, loopback=True), idle=1)
        self._is_silent = False
        self._loop = Loop("heartbeat", self._beat)

    async def start(self) -> None:
        """Begin, in the background."""
        await self._client.open()
        self._loop.start()

    async def stop(self) -> None:
        """Send no further one."""
        await self._loop.cancel()
        await self._client.close()

    async def _beat(self) -> float:
        """Send one, if there is reason to; seconds to the next."""
        if why := self._standstill():
            if not self._is_silent:
                log.warning("no heartbeat is sent", because=" ".join(why))
            self._is_silent = True
            return AGAIN
        if self._is_silent:
            log.info("heartbeats are sent again")
        self._is_silent = False
        answer = await self._client.call(Call("GET", self._url, {}, None, PATIENCE))
        if answer.status is None or not 200 <= answer.status < 300:  # noqa: PLR2004 - success
            # What went wrong may name the address.
            what = f"status {answer.status}" if answer.status else str(answer.failure)
            log.warning("a heartbeat was not taken", because=what)
            return AGAIN
        return EVERY
