"""How many calls may be in progress at once: fewer for a while, once there were no descriptors for more."""

from time import monotonic

import structlog

log = structlog.get_logger(__name__)

#: Seconds for which no call begins, and for which only half as many do.
PAUSE, THRIFT = 1.0, 30.0


class Thrift:
    """How many calls a replica may have in progress."""

    def __init__(self, limit: int) -> None:
        self._limit = self._reduced = limit
        self._pause_ends = self._thrift_ends = 0.0

    @property
    def limit(self) -> int:
        """How many calls may be in progress now."""
        now = monotonic()
        if now < self._pause_ends:
            return 0
        return self._reduced if now < self._thrift_ends else self._limit

    def ran_out(self, calling: int) -> bool:
        """There was no descriptor for one of `calling` calls; whether that is news."""
        now = monotonic()
        if now < self._pause_ends:
            return False
        self._reduced = max(1, calling // 2)
        self._pause_ends, self._thrift_ends = now + PAUSE, now + THRIFT
        log.warning(
            "file descriptors ran out; calls are handed back, and fewer are made for a while",
            calls=self._reduced,
            seconds=THRIFT,
        )
        return True
