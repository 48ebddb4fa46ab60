"""Long computing beside the event loop: one thing at a time, within a budget, for those who still wait.

Python runs one thread at a time, and takes turns every five milliseconds. So a thread that computes makes the
loop late by some milliseconds, and many threads by many: each lane has one.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from math import inf
from time import monotonic, thread_time
from typing import Concatenate, ParamSpec, TypeVar

from scheduler_api.errors import ServiceBusy
from scheduler_api.schedule import Budget

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")

#: Seconds of computing on the loop itself, until others have a turn.
TURN = 0.01


class Lane:
    """A thread that computes for those who wait in line, each with the same budget."""

    def __init__(self, name: str, instants: int, seconds: float, places: int) -> None:
        """`instants` and `seconds` (of the thread's own time) are what each piece of work may take.

        `places` is how many may wait in line.
        """
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._instants, self._seconds, self._places = instants, seconds, places
        self._waiting = 0

    async def compute(
        self, work: Callable[Concatenate[Budget, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work(budget, …)` in the thread. If the caller is cancelled, the budget is spent.

        The work has to ask its budget again and again. Raises the errors of `work`, and ServiceBusy.
        """
        if self._waiting >= self._places:
            raise ServiceBusy("Too many others wait for an answer that takes long; try again in a moment.")
        given_up = False

        def run() -> T:
            end = thread_time() + self._seconds
            return work(Budget(self._instants, lambda: given_up or thread_time() > end), *args, **kwargs)

        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, copy_context().run, run)
        finally:
            # Too late for work that has ended; the rest sees it with its next look.
            given_up = True
            self._waiting -= 1

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for work that knows its end, and asks no budget."""

        def bounded(_: Budget) -> T:
            return work(*args, **kwargs)

        return await self.compute(bounded)


#: What people ask about occurrences.
QUESTIONS = Lane("questions", instants=200_000, seconds=2.0, places=64)
#: Bodies that are read and pages that are made: no loops, but long all the same.
FORMATS = Lane("formats", instants=0, seconds=10.0, places=500)
#: What is computed while rows are locked, which must not wait in line behind pages. There are no more of them
#: than connections.
LOCKED = Lane("locked", instants=0, seconds=10.0, places=500)


async def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run work that knows its end beside the loop: reading a large body, making a large page."""
    return await FORMATS.run(work, *args, **kwargs)


async def aside_locked(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same within a unit of work that holds locks meanwhile."""
    return await LOCKED.run(work, *args, **kwargs)


async def in_turns(work: Callable[[U], T], items: Iterable[U], seconds: float = inf) -> list[T]:
    """`work` of each item in order, on the loop, with turns for others in between.

    After so many `seconds` of computing it ends with what there is, which is one item at least.
    """
    done: list[T] = []
    spent, turn, look = 0.0, thread_time(), monotonic() + TURN
    for item in items:
        done.append(work(item))
        # The thread's own time, which the kernel has to be asked for, is never more than what has passed.
        if monotonic() < look:
            continue
        elapsed = thread_time() - turn
        if elapsed < TURN:
            look = monotonic() + TURN - elapsed
            continue
        spent += elapsed
        if spent >= seconds:
            break
        await asyncio.sleep(0)
        turn, look = thread_time(), monotonic() + TURN
    return done
