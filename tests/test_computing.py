"""Computing beside the loop: within a budget, one thing at a time, for those who wait."""

import asyncio
import threading
from collections.abc import Iterator
from itertools import count
from time import thread_time

import pytest

from scheduler_api import computing
from scheduler_api.computing import Lane, aside, aside_locked, in_turns
from scheduler_api.errors import ServiceBusy
from scheduler_api.schedule import Budget


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane("test", instants=100, seconds=0.05, places=2)
    yield lane
    lane._executor.shutdown()


async def test_work_runs_elsewhere_within_its_budget(lane: Lane) -> None:
    def work(budget: Budget, start: int) -> tuple[list[int], bool, int]:
        return list(budget.within(count(start))), budget.is_spent, threading.get_ident()

    found, is_spent, thread = await lane.compute(work, 7)
    assert (found, is_spent) == (list(range(7, 107)), True)
    assert thread != threading.get_ident()


async def test_time_is_part_of_the_budget() -> None:
    lane = Lane("test", instants=10**12, seconds=0.02, places=2)

    def work(budget: Budget) -> float:
        began = thread_time()
        while budget.allows():
            pass
        return thread_time() - began

    assert await lane.compute(work) >= 0.019


async def test_work_ends_when_nobody_waits_for_it_any_more() -> None:
    lane = Lane("test", instants=10**12, seconds=3600, places=2)
    ended, begun = threading.Event(), threading.Event()

    def work(budget: Budget) -> None:
        while budget.allows():
            begun.set()
        ended.set()

    task = asyncio.create_task(lane.compute(work))
    await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 60)
    # And what had not begun by then never begins.
    assert await lane.compute(lambda budget: budget.is_spent) is False


async def test_only_so_many_wait(lane: Lane) -> None:
    go_on = threading.Event()
    waiting = [asyncio.create_task(lane.compute(lambda _: go_on.wait(60))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ServiceBusy):
        await lane.compute(lambda _: True)
    go_on.set()
    assert await asyncio.gather(*waiting) == [True, True]
    assert await lane.compute(lambda _: True)


async def test_errors_come_back() -> None:
    def fail() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await aside(fail)


def _spin(seconds: float) -> float:
    end = thread_time() + seconds
    while thread_time() < end:
        pass
    return seconds


async def test_who_holds_locks_waits_for_no_page() -> None:
    go_on = threading.Event()
    page = asyncio.create_task(aside(go_on.wait, 10))
    await asyncio.sleep(0)
    assert await aside_locked(lambda: "done") == "done"
    assert not page.done()
    go_on.set()
    assert await page


async def test_others_have_turns() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    done = await in_turns(_spin, [computing.TURN] * 5, seconds=60)
    task.cancel()
    assert len(done) == 5
    assert turns >= 4


async def test_turns_end_with_the_time_for_them() -> None:
    assert await in_turns(_spin, [0.02] * 50, seconds=0.05) == [0.02] * 3
    assert await in_turns(_spin, [0.02] * 50, seconds=0.0) == [0.02]
    assert await in_turns(_spin, [], seconds=1.0) == []
