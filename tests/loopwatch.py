"""How long the event loop is held, by the processor time that its own thread takes for each step.

The clock on the wall would tell how busy the machine is; this tells how much the service does at once.
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


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch the loops of this thread. What the tests keep in memory is spared the collector meanwhile.

    So is the thread a tracer, as of coverage, which makes it several times slower.
    """
    watch = Watch()
    original: Any = asyncio.Handle._run

    def run(self: asyncio.Handle) -> None:
        began = thread_time()
        original(self)
        watch.saw(thread_time() - began, self)

    tracer = sys.gettrace()
    gc.collect()
    gc.freeze()
    sys.settrace(None)
    asyncio.Handle._run = run  # type: ignore[method-assign]
    try:
        yield watch
    finally:
        asyncio.Handle._run = original  # type: ignore[method-assign]
        gc.unfreeze()
        sys.settrace(tracer)
