"""How long the event loop is held, by the processor time that its own thread takes for each step.

The clock on the wall would tell how busy the machine is; this tells how much the service does at once. A core
that is slower than those of these days is allowed for: after a step that seems long, the watch sees how long
the same piece of work takes at that time.
"""

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import thread_time
from typing import Any, NamedTuple

from scheduler_api.server import spare_the_collector

#: Seconds of processor time that one step of the loop may take.
LIMIT = 0.1
#: Seconds that `_work` takes a core of these days at most: 1.5 to 3.
USUAL = 0.0035
#: A step of so many seconds seems long.
LONG = LIMIT / 2


class Step(NamedTuple):
    """One step of the loop: what runs until others have their turn."""

    seconds: float
    what: str

    def __str__(self) -> str:
        return f"{self.seconds * 1000:.1f} ms of {self.what}"


class Watch:
    """Sees the steps of the loop."""

    def __init__(self) -> None:
        self._longest = Step(0.0, "")

    def saw(self, seconds: float, handle: asyncio.Handle) -> None:
        if seconds > LONG:
            seconds /= slowness()
        if seconds > self._longest.seconds:
            self._longest = Step(seconds, repr(handle)[:300])

    async def fresh(self) -> None:
        """Begin a step of its own, and forget what was before."""
        await asyncio.sleep(0)
        self._longest = Step(0.0, "")

    async def longest(self) -> Step:
        """The longest step since; the present one is among them."""
        await asyncio.sleep(0)
        return self._longest


def slowness() -> float:
    """How many times as slow this core is now as others; 1: it is not slow."""
    return max(1.0, min(_work() for _ in range(3)) / USUAL)


def _work() -> float:
    """Seconds of processor time for a piece of work that is always the same."""
    began, found = thread_time(), 0
    for number in range(50_000):
        found = (found * 31 + number) % 1_000_003
    return thread_time() - began


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch the loops of this thread, without a tracer: that of coverage makes it several times slower.

    Garbage is collected as in a service: otherwise a step may have to look at all that the tests keep.
    """
    original: Any = asyncio.Handle._run

    def run(self: asyncio.Handle) -> None:
        began = thread_time()
        original(self)
        watch.saw(thread_time() - began, self)

    tracer, thresholds = sys.gettrace(), gc.get_threshold()
    spare_the_collector()
    sys.settrace(None)
    watch = Watch()
    asyncio.Handle._run = run  # type: ignore[method-assign]  # watched
    try:
        yield watch
    finally:
        asyncio.Handle._run = original  # type: ignore[method-assign]  # watched
        sys.settrace(tracer)
        gc.set_threshold(*thresholds)
