"""An end to what takes too long."""

import asyncio

import pytest

from scheduler_api.workers.delivery.deadlines import TICK, Deadlines
from tests.workers.delivery.conftest import Run


def test_what_takes_too_long_ends(run: Run) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(TimeoutError), Deadlines(loop).within(0.05):
            await asyncio.Event().wait()
        assert loop.time() - started >= 0.04
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run(scenario())


def test_what_is_done_in_time_goes_on(run: Run) -> None:
    async def scenario() -> None:
        deadlines = Deadlines(asyncio.get_running_loop())
        with deadlines.within(0.01):
            pass
        await asyncio.sleep(2 * TICK)
        assert not deadlines._due

    run(scenario())


def test_other_errors_pass(run: Run) -> None:
    async def scenario() -> None:
        with pytest.raises(ValueError, match="mine"), Deadlines(asyncio.get_running_loop()).within(9):
            raise ValueError("mine")

    run(scenario())


def test_who_is_cancelled_by_others_stays_so(run: Run) -> None:
    async def wait(deadlines: Deadlines) -> None:
        with deadlines.within(0.05):
            try:
                await asyncio.Event().wait()
            finally:
                # Others cancel while the deadline ends it.
                task = asyncio.current_task()
                assert task is not None
                task.cancel()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(asyncio.CancelledError):
            await loop.create_task(wait(Deadlines(loop)))

    run(scenario())


def test_each_ends_at_its_own_time(run: Run) -> None:
    ended = []

    async def wait(deadlines: Deadlines, seconds: float) -> None:
        try:
            with deadlines.within(seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            ended.append(seconds)

    async def scenario() -> None:
        deadlines = Deadlines(asyncio.get_running_loop())
        await asyncio.gather(*(wait(deadlines, seconds) for seconds in (0.5, 0.05, 0.25)))
        assert ended == [0.05, 0.25, 0.5]

    run(scenario())
