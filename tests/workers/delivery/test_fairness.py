"""Calls that hang take no more than their share: what is healthy starts at once, beside all of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.system.limits import LimitOrder, LimitScope
from scheduler_api.database.engine import Database
from scheduler_api.database.runs.claims import Terms
from scheduler_api.services.system import limits
from scheduler_api.targets import Guard, urls
from scheduler_api.workers.delivery import deliverer as delivering
from scheduler_api.workers.delivery.caller import Caller
from scheduler_api.workers.delivery.client import Client
from scheduler_api.workers.delivery.deliverer import Capacity, Deliverer
from tests.factories import ACTOR, add_job, execute, scalar
from tests.receiver import Receiver, receiving

Make = Callable[..., Awaitable[Deliverer]]

HOUR = 3600
UNDER_WAY = "SELECT count(*) FROM joblog WHERE status = 'running'"


@pytest.fixture
async def receivers() -> AsyncIterator[list[Receiver]]:
    """Fifteen hosts, of which all but the last hang."""
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(receiving()) for _ in range(15)]
        for receiver in made[:-1]:
            receiver.hold()
        yield made


@pytest.fixture
async def replica(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Makes replicas with 200 places, as the settings have it, and stops them at the end."""
    made: list[Deliverer] = []

    async def make(
        *, hostlimit: int = 16, ahead: int | None = None, lease: float = 60, interval: float = 5
    ) -> Deliverer:
        client = Client(Guard(loopback=True))
        caller = Caller(client, Cipher([]), "http://localhost/runs", "tests")
        terms = Terms("one", timedelta(seconds=lease), hostlimit)
        deliverer = Deliverer(database, client, caller, terms, Capacity(200, interval))
        if ahead is not None:
            # As if so many calls went on ending. Measured, it would be none after the first claim, and a
            # slow machine may need several claims for all that there is room for.
            deliverer._ahead = ahead
            monkeypatch.setattr(deliverer, "_measure", lambda _: None)
        made.append(deliverer)
        await deliverer.start(claiming=True)
        return deliverer

    yield make
    for deliverer in made:
        await deliverer.stop(0)


async def add_runs(database: Database, receiver: Receiver, count: int, **values: Any) -> None:
    """So many jobs with a run each that is due since a minute, and may take an hour."""
    target = {"url": receiver.url, "timeout": HOUR, "retries": 0}
    jobid = await add_job(database, target=target, due=None, **values)
    jobs = "jobname, startdate, starttime, timezone, repeat, target, kind, host, tags, overlap, active"
    await execute(
        database,
        f"WITH same AS (INSERT INTO job ({jobs}, createdat, validfrom)"
        f" SELECT {jobs}, createdat, validfrom FROM job"
        " CROSS JOIN generate_series(1, :count) WHERE jobid = :jobid RETURNING jobid, kind, host)"
        " INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host)"
        " SELECT jobid, now(), now() - interval '1 minute', kind, host FROM same",
        jobid=jobid,
        count=count,
    )


async def until(database: Database, statement: str, wanted: Any, **values: Any) -> None:
    async with asyncio.timeout(60):
        while await scalar(database, statement, **values) != wanted:
            await asyncio.sleep(0.01)


async def starts_at_once(
    database: Database, deliverer: Deliverer, healthy: Receiver, hanging: Sequence[Receiver], **values: Any
) -> None:
    """A run to a host that answers becomes due while all others hang; it is called, and they still hang."""
    under_way = await scalar(database, UNDER_WAY)
    due = await scalar(database, "SELECT clock_timestamp() + interval '0.5 seconds'")
    jobid = await add_job(database, target={"url": healthy.url}, due=due, **values)
    # As the listener does it, which hears of new promises.
    deliverer.wake()
    async with asyncio.timeout(60):
        await healthy.arrived(1)
    late = await scalar(database, "SELECT startedat - scheduledfor FROM joblog WHERE jobid = :id", id=jobid)
    assert late < timedelta(seconds=1)
    await until(database, "SELECT status FROM joblog WHERE jobid = :id", "finished", id=jobid)
    assert await scalar(database, UNDER_WAY) == under_way
    assert sum(len(receiver.requests) for receiver in hanging) == under_way


async def hang(database: Database, hanging: Sequence[Receiver], calls: int) -> None:
    """Wait until so many calls hang."""
    async with asyncio.timeout(60):
        while sum(len(receiver.requests) for receiver in hanging) < calls:
            await asyncio.sleep(0.01)
    await until(database, UNDER_WAY, calls)


@pytest.mark.parametrize("tags", [[], ["everything"]], ids=["untagged", "one-tag-for-all"])
async def test_a_healthy_host_beside_fourteen_that_hang(
    database: Database, receivers: list[Receiver], replica: Make, tags: list[str]
) -> None:
    *hanging, healthy = receivers
    for receiver in hanging:
        await add_runs(database, receiver, 16, tags=tags)
    deliverer = await replica()
    await hang(database, hanging, 170)
    await starts_at_once(database, deliverer, healthy, hanging, tags=tags)
    # What hangs has all but what is kept, and each host about as much of it as the others.
    counts = [len(receiver.requests) for receiver in hanging]
    assert sum(counts) == 170
    assert max(counts) - min(counts) <= 1
    assert deliverer.crowded > 0


async def test_a_healthy_host_beside_a_tag_whose_hosts_all_hang(
    database: Database, receivers: list[Receiver], replica: Make
) -> None:
    """Each run of the tag calls a host of its own, so only the tag is busy."""
    async with receiving(ports=190) as hanging:
        hanging.hold()
        due = await scalar(database, "SELECT clock_timestamp()")
        for number, url in enumerate(hanging.urls):
            target = {"url": url, "timeout": HOUR, "retries": 0}
            await add_job(database, target=target, tags=["slow", f"tag {number}"], due=due)
        deliverer = await replica()
        await hang(database, [hanging], 180)
        await starts_at_once(database, deliverer, receivers[-1], [hanging], tags=["other"])
        assert len(hanging.requests) == 180
        await deliverer.stop(0)


async def test_healthy_jobs_beside_one_that_overlaps_and_hangs(
    database: Database, receivers: list[Receiver], replica: Make
) -> None:
    """A job may have as many runs at once as it likes; those of others start at once, of its own host too."""
    hanging, healthy = receivers[0], receivers[-1]
    target = {"url": hanging.url, "timeout": HOUR, "retries": 0}
    jobid = await add_job(database, target=target, overlap=True, due=None)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, cause)"
        " SELECT jobid, now() - n * interval '1 second', now() - interval '1 minute', kind, host, 'manual'"
        " FROM job CROSS JOIN generate_series(1, 300) AS n WHERE jobid = :jobid",
        jobid=jobid,
    )
    deliverer = await replica(hostlimit=1000)
    await hang(database, [hanging], 160)
    await starts_at_once(database, deliverer, healthy, [hanging])
    assert len(hanging.requests) == 160
    await add_job(
        database, target=target, due=await scalar(database, "SELECT clock_timestamp() - interval '1 s'")
    )
    deliverer.wake()
    await hanging.arrived(161)


async def test_runs_that_were_claimed_ahead_and_wait_do_not_stand_in_the_way(
    database: Database, receivers: list[Receiver], replica: Make
) -> None:
    """What was claimed as calls ended fast waits for the place of one that hangs now."""
    hanging, healthy = receivers[0], receivers[-1]
    await add_runs(database, hanging, 400)
    deliverer = await replica(hostlimit=1000, ahead=32)
    await hanging.arrived(170)
    await until(database, UNDER_WAY, 170 + 4 * 32)
    due = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, target={"url": healthy.url}, due=due)
    deliverer.wake()
    await healthy.arrived(1)
    assert len(hanging.requests) == 170


async def test_a_place_that_is_given_back_is_lent_again_soon(
    database: Database, receivers: list[Receiver], replica: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With so few of them nobody waits until a claim is worth its while, or for the next regular look."""
    monkeypatch.setattr(delivering, "BOUNDED_PAUSE", HOUR)
    hanging = receivers[0]
    await add_runs(database, hanging, 180)
    # What others ended is found as leases are renewed, thrice a lease, which a busy machine must not lose.
    await replica(hostlimit=1000, lease=6, interval=HOUR)
    await hang(database, [hanging], 170)
    for calls in (171, 172, 173):
        await execute(
            database,
            "UPDATE joblog SET status = 'failed', error = 'x', finishedat = now(),"
            " leasetoken = NULL, leaseuntil = NULL WHERE logid ="
            " (SELECT min(logid) FROM joblog WHERE status = 'running')",
        )
        async with asyncio.timeout(60):
            await hanging.arrived(calls)


async def test_what_a_rate_holds_back_begins_when_it_lets_go(
    database: Database, receivers: list[Receiver], replica: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the next of the regular looks, which here would come after the test has ended."""
    monkeypatch.setattr(delivering, "BOUNDED_PAUSE", HOUR)
    healthy = receivers[-1]
    host = urls.host_of(healthy.url)
    await database.transact(limits.put, ACTOR, LimitScope.HOST, host, LimitOrder(rate=119))
    await add_runs(database, healthy, 4)
    # They hang: the ends of calls are no reason to look either.
    healthy.hold()
    await replica(interval=HOUR)
    async with asyncio.timeout(60):
        await healthy.arrived(4)
    pauses = (
        "SELECT min(pause) FROM (SELECT startedat - lag(startedat) OVER (ORDER BY startedat) AS pause"
        " FROM joblog) AS all_of_them"
    )
    assert await scalar(database, pauses) >= timedelta(minutes=1) / 119
