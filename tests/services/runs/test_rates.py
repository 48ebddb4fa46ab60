"""Rates: no minute, wherever it begins, sees more calls than a rate allows, of all replicas together."""

import asyncio
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler_api.contracts.system.limits import LimitOrder, LimitScope
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.services.jobs import actions
from scheduler_api.services.runs import claims
from scheduler_api.services.runs.shares import Room
from scheduler_api.services.system import limits
from scheduler_api.targets.rates import Rate
from tests.factories import ACTOR, NOON, add_job, scalar
from tests.services.runs.test_claims import TARGET, TERMS, after, at, claim, claims_of, failed, said, settle

MINUTE = timedelta(minutes=1)
PAUSES = st.lists(st.integers(0, 90_000_000), min_size=1, max_size=80)


@given(st.integers(1, 60_000), PAUSES, st.integers(1, 5))
@example(1, [0, 59_999_999, 1], 1)
@example(60, [0] + [1_000_000] * 60, 2)
@example(60_000, [0] + [1017] * 70, 2000)
def test_no_minute_sees_more_than_the_rate(calls_a_minute: int, pauses: list[int], greed: int) -> None:
    now, rate = NOON, Rate(calls_a_minute, None)
    begun: list[tuple[datetime, int]] = []
    for pause in pauses:
        now += timedelta(microseconds=pause)
        count = min(rate.free(now), greed)
        assert (rate.free(now) > 0) == (rate.next(now) == now)
        begun.append((now, count))
        rate = rate._replace(busyuntil=rate.used(now, count))
    for since, _ in begun:
        assert sum(count for when, count in begun if since <= when < since + MINUTE) <= calls_a_minute


@pytest.mark.parametrize("calls_a_minute", [1, 7, 59, 60, 61, 119, 120, 1000, 6000])
def test_nearly_as_many_as_the_rate_says_may_begin(calls_a_minute: int) -> None:
    now, rate, count = NOON, Rate(calls_a_minute, None), 0
    while now < NOON + 2 * MINUTE:
        free = rate.free(now)
        count += free
        # Those who take all that they get, as soon as they get it, have no more in the first minute.
        assert now >= NOON + MINUTE or count <= calls_a_minute
        rate = rate._replace(busyuntil=rate.used(now, free))
        following = rate.next(now)
        assert following > now
        assert rate.free(following - timedelta.resolution) == 0
        now = following
    assert count >= 2 * calls_a_minute * 0.98


async def limit(
    database: Database, now: datetime, scope: str, name: str, *, limit: int | None = None, rate: int
) -> None:
    await at(database, now, limits.put, ACTOR, LimitScope(scope), name, LimitOrder(limit=limit, rate=rate))


@pytest.mark.parametrize(("scope", "name"), [("host", "a.example"), ("tag", "slow")])
async def test_a_call_waits_until_the_rate_allows_it_and_not_longer(
    database: Database, scope: str, name: str
) -> None:
    for _ in range(3):
        await add_job(database, target=TARGET, tags=["slow"])
    other = await add_job(database, target=TARGET | {"url": "http://b.example/"}, tags=["quick"])
    await limit(database, NOON, scope, name, rate=6)
    assert await claims_of(database, after(1), 10) == [1, other]
    assert (await claim(database, after(1))).nextdue == 10
    assert (await claim(database, after(10.999))).started == []
    assert (await claim(database, after(10.999))).nextdue == pytest.approx(0.05)
    assert await claims_of(database, after(11), 10) == [2]
    assert await claims_of(database, after(60), 10) == [3]
    assert (await claim(database, after(71))).nextdue is None


async def test_further_attempts_count_against_a_rate_and_calls_that_are_skipped_do_not(
    database: Database,
) -> None:
    await add_job(database, target=TARGET | {"backoff": 1})
    await add_job(database, target=TARGET, interval=60, misfire="skip", grace=1)
    await limit(database, NOON, "host", "a.example", rate=1)
    # The second is too late; it would be skipped if its turn had come.
    taken = await claim(database, after(30))
    assert ([one.jobid for one in taken.started], taken.skipped) == ([1], 0)
    await settle(database, after(31), failed(taken.started[0]))
    assert (await claim(database, after(80))).started == []
    skipped = await claim(database, after(90), 1)
    assert (skipped.started, skipped.skipped) == ([], 1)
    (again,) = (await claim(database, after(90))).started
    assert (again.jobid, again.attempt) == (1, 2)


async def test_a_rate_holds_for_all_replicas_together(database: Database) -> None:
    for _ in range(30):
        await add_job(database, target=TARGET)
    # Seven may begin at once.
    await limit(database, NOON, "host", "a.example", rate=420)
    found = await asyncio.gather(*(claim(database, after(1), 3) for _ in range(10)))
    assert sum(len(one.started) for one in found) == 7


async def test_at_once_and_a_minute_both_hold(database: Database) -> None:
    for _ in range(30):
        await add_job(database, target=TARGET)
    await limit(database, NOON, "host", "a.example", limit=2, rate=420)
    assert await claims_of(database, after(1), 10) == [1, 2]
    await limit(database, after(1), "host", "a.example", limit=20, rate=420)
    assert await claims_of(database, after(1), 10) == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(("before", "since", "seconds"), [(6, 6, 9), (1, 60, 1), (60_000, 1, 60)])
async def test_what_began_counts_on_where_a_rate_is_changed(
    database: Database, before: int, since: int, seconds: float
) -> None:
    for number in range(22):
        await add_job(database, target=TARGET, due=NOON if number < 20 else after(0.5))
    await limit(database, NOON, "host", "a.example", rate=before)
    assert await claims_of(database, NOON, 10) != []
    await limit(database, after(1), "host", "a.example", rate=since)
    while (taken := await claim(database, after(1))).more:
        pass
    assert taken.nextdue is not None
    assert seconds * 0.9 < taken.nextdue <= seconds


async def test_a_limit_that_somebody_holds_delays_its_own_calls_alone(database: Database) -> None:
    await add_job(database, target=TARGET)
    other = await add_job(database, target=TARGET | {"url": "http://b.example/"})
    await limit(database, NOON, "host", "a.example", rate=60)
    await limit(database, NOON, "host", "b.example", rate=60)

    async def hold(session: Session, now: datetime) -> list[int]:
        await limits.put(session, now, ACTOR, LimitScope.HOST, "a.example", LimitOrder(rate=30))
        return [one.jobid for one in (await claim(database, after(1))).started]

    assert await database.transact(hold) == [other]
    assert await claims_of(database, after(2), 10) == [1]


async def test_it_is_said_which_limit_a_run_waits_for(database: Database) -> None:
    jobid = await add_job(database, target=TARGET, tags=["slow", "other"], overlap=True)
    assert (await said(database, after(1))).endswith("12:00:00 +00:00.")
    await claim(database, after(1))
    await at(database, after(2), actions.run_now, ACTOR, jobid)
    for scope, name, order, wanted in (
        ("host", "a.example", {"limit": 1}, "a.example is at its concurrency limit of 1."),
        ("host", "a.example", {"limit": 1, "rate": 5}, "a.example is at its concurrency limit of 1."),
        ("host", "a.example", {"limit": 9, "rate": 5}, " Another run of the job is in progress."),
        ("tag", "slow", {"limit": 1}, "The tag slow is at its concurrency limit of 1."),
    ):
        await at(database, after(2), limits.put, ACTOR, LimitScope(scope), name, LimitOrder(**order))
        assert (await said(database, after(3), after(2))).endswith(wanted)
    await at(database, after(3), limits.remove, ACTOR, LimitScope.TAG, "slow")
    await limit(database, after(3), "tag", "slow", rate=5)
    assert (await claim(database, after(4))).started != []
    await at(database, after(5), actions.run_now, ACTOR, jobid)
    assert (await said(database, after(6), after(5))).endswith(
        "a.example is at its rate limit of 5 a minute."
    )
    await at(database, after(6), limits.remove, ACTOR, LimitScope.HOST, "a.example")
    assert (await said(database, after(6), after(5))).endswith("slow is at its rate limit of 5 a minute.")


async def test_a_host_without_a_limit_of_its_own_has_that_of_the_settings(database: Database) -> None:
    jobid = await add_job(database, target=TARGET, overlap=True)
    for second in range(16):
        await at(database, after(second), actions.run_now, ACTOR, jobid)
    assert len((await claim(database, after(20), 16)).started) == 16
    assert "a.example is at its concurrency limit of 16." in await said(database, after(21), after(15))


async def test_room_for_newcomers_is_not_for_others(database: Database) -> None:
    """The claim itself keeps what is kept: of two that are due, the one with a new host begins."""
    for _ in range(2):
        await add_job(database, target=TARGET, tags=["busy"])
    other = await add_job(database, target=TARGET | {"url": "http://b.example/"}, tags=["busy"])
    newcomer = await add_job(database, target=TARGET | {"url": "http://c.example/"}, tags=["new"])
    await claim(database, after(1), 1)

    async def room(session: Session, _: datetime, *free: int) -> tuple[list[int], bool]:
        first, second, third, fourth = free
        taken = await claims.claim(session, after(2), Room((first, second, third, fourth)), TERMS)
        return [one.jobid for one in taken.started], taken.crowded

    assert await database.transact(room, 0, 0, 0, 1) == ([newcomer], True)
    assert await database.transact(room, 0, 0, 0, 1) == ([], True)
    assert await database.transact(room, 0, 0, 1, 1) == ([other], True)
    assert await database.transact(room, 0, 0, 1, 1) == ([], True)
    assert await database.transact(room, 0, 1, 1, 1) == ([2], True)
    assert await database.transact(room, 0, 0, 0, 1) == ([], False)
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE status = 'pending'") == 0
