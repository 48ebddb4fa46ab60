"""A loop takes steps until it is stopped: when they are due, sooner when told, later after failures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from scheduler_api.errors import ReplicaOutdated
from scheduler_api.workers import loops
from scheduler_api.workers.loops import Loop

#: Seconds that no test waits for: what comes sooner was told to.
LONG = 3600.0
PATIENCE = 10.0


class Steps:
    """A step, and what comes of it in turn: seconds to wait, or errors; the last one again and again."""

    def __init__(self, *results: float | Exception) -> None:
        self._results = list(results)
        self.taken = 0
        self._changed = asyncio.Condition()

    async def __call__(self) -> float:
        self.taken += 1
        async with self._changed:
            self._changed.notify_all()
        result = self._results[min(self.taken, len(self._results)) - 1]
        if isinstance(result, Exception):
            raise result
        return result

    async def reach(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: self.taken >= number)


@contextlib.asynccontextmanager
async def looping(
    step: Callable[[], Awaitable[float]], longest: float = LONG, max_backoff: float = LONG
) -> AsyncIterator[Loop]:
    loop = Loop("loop", step, longest, max_backoff)
    loop.start()
    try:
        yield loop
    finally:
        await loop.cancel()


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_step_follows_the_other_after_its_pause() -> None:
    steps = Steps(0.0, 0.001, LONG)
    async with looping(steps):
        await steps.reach(3)
        await turns()
        assert steps.taken == 3


async def test_no_pause_is_longer_than_the_longest() -> None:
    steps = Steps(LONG)
    async with looping(steps, longest=0.001):
        await steps.reach(3)


@pytest.mark.parametrize("hurry", [Loop.wake, lambda loop: loop.hasten(0.001)], ids=["wake", "hasten"])
async def test_a_step_comes_sooner_when_told(hurry: Callable[[Loop], None]) -> None:
    steps = Steps(LONG)
    async with looping(steps) as loop:
        await steps.reach(1)
        hurry(loop)
        await steps.reach(2)


async def test_what_is_told_during_a_step_counts_for_the_next_one() -> None:
    steps = Steps(LONG)

    async def step() -> float:
        pause = await steps()
        if steps.taken == 1:
            loop.hasten(0.0)
        return pause

    loop = Loop("loop", step, LONG)
    loop.start()
    await steps.reach(2)
    await loop.stop()
    assert steps.taken == 2


async def test_a_step_never_comes_later_when_told() -> None:
    steps = Steps(0.01)
    async with looping(steps) as loop:
        await steps.reach(1)
        loop.hasten(LONG)
        await steps.reach(2)


async def test_after_a_failure_work_waits_and_news_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives must not drive it against a database that is away; that it is back must."""
    monkeypatch.setattr(loops, "FIRST_BACKOFF", LONG)
    steps = Steps(OSError("away"), LONG)
    async with looping(steps) as loop:
        await steps.reach(1)
        await turns()
        loop.hasten(0.0)
        await turns()
        assert steps.taken == 1
        loop.wake()
        await steps.reach(2)
        await turns()
        loop.hasten(0.0)
        await steps.reach(3)


async def test_failures_in_a_row_are_an_issue_until_a_step_succeeds() -> None:
    steps = Steps(OSError("away"))
    async with looping(steps, max_backoff=0.001) as loop:
        await steps.reach(loops.BROKEN_AFTER + 1)
        assert loop.issue is not None
        assert loop.issue.endswith("steps of the loop failed.")
        steps._results = [0.001]
        await steps.reach(steps.taken + 2)
        assert loop.issue is None


async def test_it_ends_where_only_newer_code_may_write() -> None:
    steps = Steps(ReplicaOutdated("It is old."))
    async with looping(steps) as loop:
        await steps.reach(1)
        await turns()
        loop.wake()
        await turns()
        assert steps.taken == 1


@pytest.mark.parametrize("end", [Loop.stop, Loop.cancel])
async def test_stopping_waits_for_a_step_and_cancelling_does_not(
    end: Callable[[Loop], Awaitable[None]],
) -> None:
    begun, go_on, finished = asyncio.Event(), asyncio.Event(), []

    async def step() -> float:
        begun.set()
        await go_on.wait()
        finished.append(True)
        return 0.0

    loop = Loop("loop", step, LONG)
    loop.start()
    await begun.wait()
    ending = asyncio.ensure_future(end(loop))
    await turns()
    assert ending.done() == (end is Loop.cancel)
    go_on.set()
    await ending
    assert finished == ([] if end is Loop.cancel else [True])


async def test_one_that_never_began_can_be_stopped() -> None:
    loop = Loop("loop", Steps(LONG))
    assert loop.silence == 0.0
    await loop.stop()
    assert loop.issue is None
