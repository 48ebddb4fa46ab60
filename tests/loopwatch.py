"""How long the event loop is held, by the processor time that its own thread takes for each step.

The clock on the wall would tell how busy the machine is; this tells how much the service does at once. A core
that is slower than those of these days is allowed for: each watch sees how long the same piece of work takes.
"""

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import thread_time
from typing import Any, NamedTuple

#: Seconds of processor time that one step of the loop may take.
LIMIT = 0.1
#: Seconds that `_work` takes a core of these days at most: 1.5 to 3.
USUAL = 0.0035


class Step(NamedTuple):
    """One step of the loop: what runs until others have their turn."""

    seconds: float
    what: str

    def __str__(self) -> str:
        return f"{self.seconds * 1000:.1f} ms of {self.what}"


class Watch:
    """Sees the steps of the loop."""

    def __init__(self, slowness: float) -> None:
        self._longest = Step(0.0, "")
        self.slowness = slowness
        """How many times as slow this core is as others; 1: it is not slow."""

    def saw(self, seconds: float, handle: asyncio.Handle) -> None:
        if seconds / self.slowness > self._longest.seconds:
            self._longest = Step(seconds / self.slowness, repr(handle)[:300])

    async def fresh(self) -> None:
        """Begin a step of its own, and forget what was before."""
        await asyncio.sleep(0)
        self._longest = Step(0.0, "")

    async def longest(self) -> Step:
        """The longest step since; the present one is among them."""
        await asyncio.sleep(0)
        return self._longest


def _work() -> float:
    """Seconds of processor time for a piece of work that is always the same."""
    began, found = thread_time(), 0
    for number in range(50_000):
        found = (found * 31 + number) % 1_000_003
    return thread_time() - began


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch the loops of this thread. What the tests keep in memory is spared the collector from now on.

    So is the thread a tracer, as of coverage, which makes it several times slower.
    """
    original: Any = asyncio.Handle._run

    def run(self: asyncio.Handle) -> None:
        began = thread_time()
        original(self)
        watch.saw(thread_time() - began, self)

    tracer = sys.gettrace()
    gc.collect()
    gc.freeze()
    sys.settrace(None)
    watch = Watch(max(1.0, min(_work() for _ in range(3)) / USUAL))
    asyncio.Handle._run = run  # type: ignore[method-assign]  # watched
    try:
        yield watch
    finally:
        asyncio.Handle._run = original  # type: ignore[method-assign]  # watched
        sys.settrace(tracer)
