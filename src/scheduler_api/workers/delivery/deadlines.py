"""An end to what takes too long.

`asyncio.timeout` sets a timer for each call, which takes a sixth of the time of a whole one. Here one timer
serves all that must end within the same tenth of a second.
"""

import asyncio
from types import TracebackType

#: How much longer than asked something may take, in seconds.
TICK = 0.1


class Deadlines:
    """The deadlines of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[int, set[Deadline]] = {}

    def within(self, seconds: float) -> "Deadline":
        """A context that raises TimeoutError, in the task that enters it, once `seconds` are over."""
        tick = int((self._loop.time() + seconds) / TICK) + 1
        group = self._due.get(tick)
        if group is None:
            group = self._due[tick] = set()
            self._loop.call_at(tick * TICK, self._expire, tick)
        return Deadline(group)

    def _expire(self, tick: int) -> None:
        for deadline in self._due.pop(tick):
            deadline.expire()


class Deadline:
    """The deadline of one task; it may be entered once."""

    __slots__ = ("_cancelling", "_expired", "_group", "_task")

    def __init__(self, group: set["Deadline"]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._expired = False
        self._group = group

    def __enter__(self) -> None:
        self._group.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._group.discard(self)
        # Who else cancelled the task at the same time must find it cancelled.
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """End the task's work in the context."""
        self._expired = True
        self._task.cancel()
