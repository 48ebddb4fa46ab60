"""Faults do what they say: the database stands still, is replaced, or has another time; an answer is late."""

import asyncio
import contextlib
import gc
import itertools
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from tests.chaos import clocks
from tests.chaos.clocks import Clock
from tests.chaos.machine import Pulse
from tests.chaos.nemesis import drawn
from tests.chaos.plan import GREAT, Deeds
from tests.chaos.postgres import AWAY, Postgres
from tests.chaos.proxy import Proxy

#: What needs libfaketime.
with_clocks = pytest.mark.skipif(clocks.library() is None, reason=clocks.FOREIGN)


@contextlib.asynccontextmanager
async def database(*, moves: bool = False) -> AsyncIterator[tuple[Postgres, Proxy, Deeds]]:
    """A server behind a proxy."""
    async with contextlib.AsyncExitStack() as stack:
        # The server's user has to reach it.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scheduler-chaos-")))
        folder.chmod(0o755)
        deeds = Deeds()
        postgres = Postgres(folder / "data", folder, deeds, None, Clock(folder / "clock", moves=moves))
        stack.push_async_callback(postgres.stop)
        await postgres.start()
        proxy = Proxy(postgres.server.socket, 1)
        stack.push_async_callback(proxy.stop)
        await proxy.start()
        postgres.joined = proxy.put
        yield postgres, proxy, deeds


@contextlib.asynccontextmanager
async def connected(postgres: Postgres, proxy: Proxy) -> AsyncIterator[asyncpg.Connection]:
    """A connection that goes through the proxy."""
    connection = await asyncpg.connect(postgres.dsn(proxy.ports))
    try:
        yield connection
    finally:
        connection.terminate()


def test_a_seed_says_which_faults_come_and_each_kind_comes_before_any_comes_again() -> None:
    first, again, other = (
        [(name, chance.random()) for name, chance in itertools.islice(drawn(seed, GREAT, set(GREAT)), 50)]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert {name for name, _ in first[: len(GREAT)]} == GREAT.keys()
    few = [name for name, _ in itertools.islice(drawn(1, GREAT, {"fail over"}), 3)]
    assert few == ["fail over"] * 3
    assert list(drawn(1, GREAT, set())) == []


async def test_a_connection_that_is_told_to_end_twice_leaves_nothing_open(
    recwarn: pytest.WarningsRecorder,
) -> None:
    async with database() as (postgres, proxy, _), connected(postgres, proxy):
        proxy.reset(1.0)
        # It has begun to end.
        await asyncio.sleep(0)
        await proxy.stop()
        assert proxy.connections == 0
    gc.collect()
    assert not [warning for warning in recwarn if warning.category is ResourceWarning]


async def test_a_frozen_database_answers_when_it_goes_on_and_not_before() -> None:
    async with database() as (postgres, proxy, deeds), connected(postgres, proxy) as connection:
        freeze = asyncio.create_task(postgres.freeze(1.0))
        await asyncio.sleep(0.3)
        since = time.monotonic()
        assert await connection.fetchval("SELECT 1") == 1
        assert time.monotonic() - since > 0.5
        assert await freeze
    (fault,) = deeds.done
    assert fault.kind == "freeze the database"
    assert fault.to - fault.since >= timedelta(seconds=1)


async def test_one_answer_is_held_back_and_the_others_are_not() -> None:
    async with (
        database() as (postgres, proxy, _),
        connected(postgres, proxy) as unlucky,
        connected(postgres, proxy) as other,
    ):
        proxy.hold(60)
        held = asyncio.create_task(unlucky.fetchval("SELECT 1"))
        # Its answer comes first, and is the one that is held.
        while proxy.held == 0:
            await asyncio.sleep(0.01)
        assert await other.fetchval("SELECT 2") == 2
        assert not held.done()
        proxy.release()
        assert await held == 1


async def test_what_a_primary_confirmed_is_there_after_a_failover() -> None:
    async with database() as (postgres, proxy, _):
        confirmed: list[int] = []
        async with postgres.connection() as connection:
            await connection.execute("CREATE TABLE told (number int)")

        async def tell() -> None:
            async with connected(postgres, proxy) as connection:
                for number in range(10**6):
                    await connection.execute("INSERT INTO told VALUES ($1)", number)
                    confirmed.append(number)

        old = postgres.server
        telling = asyncio.create_task(tell())
        assert await postgres.fail_over(0, random.Random(1))
        with pytest.raises(AWAY):
            await telling
        assert postgres.server is not old
        assert not old.folder.exists()
        assert old.processes() == []
        async with connected(postgres, proxy) as connection:
            kept = {row["number"] for row in await connection.fetch("SELECT number FROM told")}
            assert kept.issuperset(confirmed)
            assert len(confirmed) > 10
            await connection.execute("INSERT INTO told VALUES (-1)")


async def test_a_stranger_holds_one_row() -> None:
    async with database() as (postgres, _, deeds):
        async with postgres.connection() as connection:
            await connection.execute(
                "CREATE TABLE job AS SELECT 5 AS jobid;"
                "CREATE TABLE joblog AS"
                " SELECT 50 AS logid, 5 AS jobid, 'pending' AS status, 'schedule' AS cause"
            )
        locking = asyncio.create_task(postgres.lock_row("job", 60, random.Random(1)))
        free = "SELECT jobid FROM job FOR UPDATE SKIP LOCKED"
        while await postgres.fetch(free):
            await asyncio.sleep(0.02)
        assert await postgres.fetch("SELECT logid FROM joblog FOR UPDATE SKIP LOCKED")
        locking.cancel()
        await asyncio.wait([locking])
        while not await postgres.fetch(free):
            await asyncio.sleep(0.02)
    assert [(fault.kind, fault.jobid) for fault in deeds.done] == [("lock a job", 5)]


@with_clocks
async def test_the_clock_of_the_database_is_set_for_all_its_processes_and_right_again() -> None:
    async with database(moves=True) as (postgres, proxy, deeds):
        async with connected(postgres, proxy) as connection:

            async def ahead() -> timedelta:
                shown: datetime = await connection.fetchval("SELECT clock_timestamp()")
                (fresh,) = await postgres.fetch("SELECT clock_timestamp() AS now")
                assert abs(fresh["now"] - shown) < timedelta(minutes=5)
                return shown - datetime.now(UTC)

            assert abs(await ahead()) < timedelta(minutes=5)
            step = asyncio.create_task(postgres.step("clock forward", 18_000, 60))
            while await ahead() < timedelta(hours=4):
                await asyncio.sleep(0.02)
            assert deeds.clock_is_wrong
            step.cancel()
            await asyncio.wait([step])
            assert abs(await ahead()) < timedelta(minutes=5)
        assert [fault.offset for fault in deeds.done] == [18_000]


async def test_a_pulse_tells_who_stands_still() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
    try:
        process.send_signal(signal.SIGSTOP)
        while (stopped := Pulse.of(process.pid)) is None or stopped.state != "T":
            await asyncio.sleep(0.01)
        assert Pulse.of(process.pid) == stopped
        process.send_signal(signal.SIGCONT)
        while (moved := Pulse.of(process.pid)) is None or moved.ran == stopped.ran:
            await asyncio.sleep(0.01)
    finally:
        process.kill()
        await process.wait()
    assert Pulse.of(process.pid) is None
