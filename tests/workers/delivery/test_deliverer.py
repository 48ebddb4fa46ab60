"""The deliverer: calls under way hold no connection, their leases are kept, and nothing is left behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL

from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.jobs.actions import History
from scheduler_api.database.engine import Database
from scheduler_api.database.runs.claims import Terms
from scheduler_api.database.runs.passes import BEGINNING
from scheduler_api.database.statements import Session
from scheduler_api.services.jobs import editing
from scheduler_api.services.runs import retrying
from scheduler_api.targets import Guard, urls
from scheduler_api.workers import floor, runner
from scheduler_api.workers.delivery.caller import Caller
from scheduler_api.workers.delivery.client import Client
from scheduler_api.workers.delivery.deliverer import Capacity, Deliverer
from scheduler_api.workers.runner import Runner
from tests.factories import ACTOR, NOON, add_job, execute, logs, scalar, until_it_waits_or_ends
from tests.receiver import Receiver, receiving
from tests.servers import dsn

Make = Callable[..., Awaitable[Deliverer]]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def deliverers(database: Database) -> AsyncIterator[Make]:
    """Makes deliverers that are stopped at the end."""
    made: list[Deliverer] = []

    async def make(
        name: str = "one", *, lease: float = 60, calls: int = 50, claiming: bool = True
    ) -> Deliverer:
        terms = Terms(name, timedelta(seconds=lease), 1000)
        client = Client(Guard(loopback=True))
        deliverer = Deliverer(
            database,
            client,
            Caller(client, Cipher([]), "http://localhost/runs", "tests"),
            terms,
            Capacity(calls, 0.5),
        )
        await deliverer.start(claiming=claiming)
        made.append(deliverer)
        return deliverer

    yield make
    for deliverer in made:
        await deliverer.stop(0)


async def add_calls(database: Database, receiver: Receiver, count: int) -> None:
    """Jobs whose calls are due."""
    for _ in range(count):
        await add_job(database, target={"url": receiver.url}, due=await now_of(database))


async def until(database: Database, statement: str, wanted: Any) -> None:
    """Wait until a statement gives what is wanted."""
    while await scalar(database, statement) != wanted:
        await asyncio.sleep(0.01)


async def statuses(database: Database, jobid: int = 1) -> list[str]:
    return [log.status for log in await logs(database, jobid)]


async def test_calls_under_way_hold_no_connection(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    go_on = receiver.hold()
    await add_calls(database, receiver, 40)
    await deliverers()
    await receiver.arrived(40)
    busy = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()"
    )
    await until(database, busy, 0)
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE status = 'running'") == 40
    go_on.set()
    await until(database, "SELECT count(*) FROM joblog WHERE status = 'finished'", 40)


async def now_of(database: Database) -> Any:
    return await scalar(database, "SELECT clock_timestamp()")


async def test_no_more_calls_than_there_is_room_for(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    go_on = receiver.hold()
    await add_calls(database, receiver, 7)
    # One of the places is for another host, of which nothing is under way.
    await deliverers(calls=4)
    await receiver.arrived(3)
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE status = 'running'") == 3
    go_on.set()
    await until(database, "SELECT count(*) FROM joblog WHERE status = 'finished'", 7)
    assert len(receiver.requests) == 7


async def test_a_lease_is_renewed_as_long_as_the_call_takes(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    go_on = receiver.hold()
    await add_job(database, target={"url": receiver.url}, due=await now_of(database))
    # What a busy machine leaves waiting for a moment is not taken over.
    await deliverers("one", lease=2)
    await deliverers("other", lease=2)
    await receiver.arrived(1)
    renewed = "SELECT leaseuntil > startedat + interval '5 seconds' FROM joblog"
    await until(database, renewed, True)
    go_on.set()
    await until(database, "SELECT status FROM joblog", "finished")
    assert await scalar(database, "SELECT string_agg(outcome, ' ') FROM logattempt") == "finished"
    assert len(receiver.requests) == 1


async def test_a_lease_that_has_run_out_is_left_to_whoever_may_renew_it_yet(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    """Nobody can while the database is away, or while somebody holds the row."""
    receiver.hold()
    await add_calls(database, receiver, 1)
    holder, other = await deliverers("one"), await deliverers("other", claiming=False)
    await receiver.arrived(1)
    await asyncio.gather(holder._leases.loop.stop(), other._leases.loop.stop())
    runs_out = "UPDATE joblog SET leaseuntil = clock_timestamp()"
    await execute(database, runs_out)
    await other._leases._take_over(60)
    await other._leases._take_over(60)
    await holder._leases._renew()
    await other._leases._take_over(0)
    # From when it runs out again, it has time again.
    assert not other._leases._expired
    await execute(database, runs_out)
    await other._leases._take_over(60)
    assert await scalar(database, "SELECT status FROM joblog") == "running"
    # It has let that pass.
    await other._leases._take_over(0)
    assert await scalar(database, "SELECT status FROM joblog") == "pending"


async def test_at_the_end_what_does_not_finish_in_time_is_lost_and_made_again(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    receiver.hold()
    await add_job(database, target={"url": receiver.url}, due=await now_of(database))
    first = await deliverers("first")
    await receiver.arrived(1)
    await first.stop(0.01)
    (log,) = await logs(database, 1)
    assert (log.status, log.attempt, log.leasetoken) == ("pending", 2, None)
    receiver.always(200)
    await deliverers("second")
    await until(database, "SELECT status FROM joblog", "finished")
    outcomes = await scalar(
        database, "SELECT string_agg(outcome || ' ' || replica, ', ' ORDER BY attempt) FROM logattempt"
    )
    assert outcomes == "lost first, finished second"


async def one_under_way_one_waiting(receiver: Receiver, deliverers: Make) -> Deliverer:
    """A deliverer that has claimed two runs of different jobs, and has a place for one."""
    deliverer = await deliverers(calls=1, claiming=False)
    # As many more are claimed as calls end meanwhile.
    deliverer._ahead = 1
    await deliverer._tick()
    await receiver.arrived(1)
    return deliverer


async def test_what_waited_longer_than_its_lease_is_not_begun(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    go_on = receiver.hold()
    for _ in range(2):
        await add_job(database, target={"url": receiver.url, "retries": 0}, due=await now_of(database))
    deliverer = await one_under_way_one_waiting(receiver, deliverers)
    for held in deliverer._leases.held:
        # As if the process had been stopped for that long.
        held.renewed -= 61
    go_on.set()
    await until(
        database,
        "SELECT string_agg(CAST(status AS text), ' ' ORDER BY jobid) FROM joblog",
        "finished pending",
    )
    assert len(receiver.requests) == 1
    assert await scalar(database, "SELECT spent FROM joblog WHERE jobid = 2") == 1


async def test_a_renewed_lease_lets_what_waits_begin(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    go_on = receiver.hold()
    await add_calls(database, receiver, 2)
    deliverer = await one_under_way_one_waiting(receiver, deliverers)
    for held in deliverer._leases.held:
        held.renewed -= 61
    await deliverer._leases._renew()
    go_on.set()
    await until(
        database,
        "SELECT string_agg(CAST(status AS text), ' ' ORDER BY jobid) FROM joblog",
        "finished finished",
    )


async def test_a_call_that_is_given_up_before_it_begins_leaves_its_place(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    go_on = receiver.hold()
    await add_calls(database, receiver, 2)
    deliverer = await one_under_way_one_waiting(receiver, deliverers)
    (held,) = (held for held in deliverer._leases.held if held.task is None)
    # Its task exists and has not had its turn yet.
    deliverer._places.calling -= 1
    deliverer._fill_places()
    deliverer._places.calling += 1
    deliverer._give_up(held)
    go_on.set()
    await until(database, "SELECT status FROM joblog WHERE jobid = 1", "finished")
    assert deliverer._places.calling == 0
    await add_job(database, target={"url": receiver.url}, due=await now_of(database))
    assert (await deliverer.run_due(await now_of(database), 30)).counts["finished"] == 1


async def test_a_call_that_breaks_off_in_the_service_itself_is_settled(
    database: Database, receiver: Receiver, deliverers: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def attempt(*_: Any) -> None:
        raise ZeroDivisionError

    await add_job(database, target={"url": receiver.url, "retries": 0}, due=await now_of(database))
    deliverer = await deliverers(claiming=False)
    monkeypatch.setattr(deliverer._caller, "attempt", attempt)
    assert (await deliverer.run_due(await now_of(database), 30)).counts["failed"] == 1
    assert "The service failed" in await scalar(database, "SELECT error FROM joblog")
    assert deliverer._places.calling == 0


async def test_a_callers_pass_without_any_room_ends_in_time(database: Database, deliverers: Make) -> None:
    deliverer = await deliverers(calls=1, claiming=False)
    deliverer._places.calling = 1
    assert (await deliverer.run_due(await now_of(database), 0.1)).counts == {"skipped": 0}
    assert deliverer.crowded == 0
    await deliverer._tick()
    assert deliverer.crowded > 0


async def test_at_the_end_what_has_not_begun_is_handed_back(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    receiver.hold()
    for _ in range(2):
        await add_job(database, target={"url": receiver.url, "retries": 0}, due=await now_of(database))
    deliverer = await one_under_way_one_waiting(receiver, deliverers)
    await deliverer.stop(0.01)
    assert await statuses(database, 1) == ["failed"]
    assert await statuses(database, 2) == ["pending"]
    assert await scalar(database, "SELECT spent FROM joblog WHERE jobid = 2") == 1
    receiver.always(200)
    await deliverers("second")
    await until(database, "SELECT status FROM joblog WHERE jobid = 2", "finished")
    assert len(receiver.requests) == 2


async def test_at_the_end_calls_under_way_may_still_finish(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    go_on = receiver.hold()
    await add_calls(database, receiver, 2)
    deliverer = await deliverers(calls=1)
    await receiver.arrived(1)
    stopping = asyncio.create_task(deliverer.stop(30))
    await asyncio.sleep(0)
    go_on.set()
    await stopping
    # The one under way has ended, and no other was begun.
    counts = "SELECT count(*) FILTER (WHERE status = 'finished') || ' ' || count(*) FROM joblog"
    assert await scalar(database, counts) == "1 2"
    assert len(receiver.requests) == 1


async def test_a_run_that_was_cancelled_is_given_up(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    receiver.hold()
    await add_job(database, target={"url": receiver.url}, due=await now_of(database))
    deliverer = await deliverers(lease=0.6, calls=1)
    await receiver.arrived(1)
    await execute(
        database,
        "UPDATE joblog SET status = 'failed', error = 'x', finishedat = now(),"
        " leasetoken = NULL, leaseuntil = NULL",
    )
    receiver.always(200)
    # There is room again: the only place was taken by the cancelled one.
    await add_job(database, target={"url": receiver.url}, due=await now_of(database))
    deliverer.wake()
    await until(database, "SELECT status FROM joblog WHERE jobid = 2", "finished")
    assert await statuses(database, 1) == ["failed"]


async def test_the_call_of_a_run_that_this_replica_was_given_anew_is_given_up(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    receiver.hold()
    await add_job(database, target={"url": receiver.url}, due=await now_of(database))
    deliverer = await deliverers(lease=0.6)
    await receiver.arrived(1)
    await database.transact(retrying.cancel, ACTOR, 1)
    await database.transact(retrying.retry, ACTOR, 1)
    deliverer.wake()
    await receiver.arrived(2)
    while len(deliverer._tasks) > 1:
        await asyncio.sleep(0.01)
    receiver.let_go()
    await until(database, "SELECT status FROM joblog", "finished")
    outcomes = "SELECT string_agg(outcome, ' ' ORDER BY attempt) FROM logattempt"
    assert await scalar(database, outcomes) == "cancelled finished"


async def test_an_answer_is_kept_where_a_follower_is_removed_at_that_moment(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    receiver.hold()
    parent = await add_job(database, target={"url": receiver.url}, due=await now_of(database))
    after = {"after": {"jobid": parent, "on": "finished"}, "afterjobid": parent}
    child = await add_job(database, due=None, startdate=None, starttime=None, **after)
    await deliverers()
    await receiver.arrived(1)
    worked, go_on = asyncio.Event(), asyncio.Event()

    async def remove(session: Session, now: datetime) -> None:
        await editing.delete(session, now, ACTOR, child, History.REMOVE)
        worked.set()
        await go_on.wait()

    removing = asyncio.create_task(database.transact(remove))
    await worked.wait()
    receiver.let_go()
    # Its end asks for a run of the follower.
    await until_it_waits_or_ends(database, removing)
    go_on.set()
    await removing
    await until(database, "SELECT status FROM joblog", "finished")
    assert await scalar(database, "SELECT string_agg(outcome, ' ') FROM logattempt") == "finished"


async def test_a_retry_is_made_when_it_is_due(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    receiver.always(503)
    target = {"url": receiver.url, "retries": 1, "backoff": 1}
    await add_job(database, target=target, due=await now_of(database))
    await deliverers()
    await receiver.arrived(1)
    receiver.always(200)
    await until(database, "SELECT status FROM joblog", "finished")
    first, second = (request.headers["webhook-id"] for request, _ in receiver.requests)
    assert first == second


@pytest.mark.parametrize("told", [True, False])
async def test_what_others_ask_for_that_was_due_long_ago_is_found(
    database: Database, receiver: Receiver, deliverers: Make, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """Although looks rely on earlier ones for what is older: at once if it is told, else some looks later."""
    monkeypatch.setattr(floor, "FLOOR_SECONDS", 3600 if told else 0.2)
    deliverer = await deliverers()
    while deliverer._floor.at == BEGINNING:
        await asyncio.sleep(0.01)
    await add_job(database, target={"url": receiver.url}, due=NOON.replace(year=2020))
    if told:
        deliverer.wake()
    await receiver.arrived(1)


async def test_what_was_missed_during_a_long_call_follows_it_at_once(
    database: Database, receiver: Receiver, deliverers: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "FLOOR_SECONDS", 3600)
    go_on = receiver.hold()
    due = (await now_of(database)).replace(microsecond=0) - timedelta(minutes=50)
    start = {"startdate": due.date(), "starttime": due.time(), "validfrom": due - timedelta(seconds=1)}
    target = {"url": receiver.url}
    await add_job(database, target=target, due=due, interval=2400, misfire="all", **start)
    deliverer = await deliverers()
    await receiver.arrived(1)
    # What follows is not promised yet, so that a look finds nothing.
    deliverer._loop.hasten(0)
    while deliverer._floor.at < due + timedelta(minutes=45):
        await asyncio.sleep(0.01)
    go_on.set()
    await receiver.arrived(2)


async def test_many_runs_of_a_job_that_somebody_holds_keep_no_other_from_the_same_host(
    database: Database, receiver: Receiver, deliverers: Make, worker_database: URL
) -> None:
    now = await now_of(database)
    held = await add_job(database, target={"url": receiver.url}, due=None, overlap=True)
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, cause)"
        " SELECT jobid, at, at, kind, host, 'manual' FROM job,"
        " generate_series(CAST(:now AS timestamptz) - interval '40 s', :now, interval '1 s') AS at",
        now=now,
    )
    other = await add_job(database, target={"url": receiver.url}, due=now)
    stranger = await asyncpg.connect(dsn(worker_database))
    try:
        async with stranger.transaction():
            await stranger.execute("SELECT FROM job WHERE jobid = $1 FOR UPDATE", held)
            await deliverers(calls=4)
            await until(database, f"SELECT status FROM joblog WHERE jobid = {other}", "finished")
            assert set(await statuses(database, held)) == {"pending"}
    finally:
        await stranger.close()
    await until(database, f"SELECT count(*) FROM joblog WHERE jobid = {held} AND status = 'finished'", 41)


async def test_large_bodies_do_not_keep_the_loop_from_other_work(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    for number in range(16):
        body = [f"{number}: {{{{logid}}}}", *({} for _ in range(85_000))]
        await add_job(database, target={"url": receiver.url, "body": body}, due=await now_of(database))
    deliverer = await deliverers(claiming=False)
    due, longest, ended = await now_of(database), 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not ended:
            since = monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, monotonic() - since)

    began = monotonic()
    watching = asyncio.create_task(watch())
    counts = (await deliverer.run_due(due, 60)).counts
    took, ended = monotonic() - began, True
    await watching
    assert counts["finished"] == 16
    # All of them were begun at once; were they made on the loop, it would stand still for most of the time.
    assert longest < took / 2


async def test_a_secret_that_no_key_opens_fails_the_run_and_says_why(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    jobid = await add_job(database, target={"url": receiver.url}, due=await now_of(database))
    await execute(
        database,
        "INSERT INTO jobsecret (jobid, createdat, ciphertext) VALUES (:jobid, now(), 'x')",
        jobid=jobid,
    )
    await deliverers()
    await until(database, "SELECT status FROM joblog", "failed")
    assert "SCHEDULER_SECRET_KEY" in await scalar(database, "SELECT error FROM joblog")
    assert receiver.requests == []


async def test_a_callers_pass_waits_for_what_it_started(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    await add_calls(database, receiver, 9)
    deliverer = await deliverers(calls=2, claiming=False)
    counts = (await deliverer.run_due(await now_of(database), 30)).counts
    assert counts["finished"] == 9
    receiver.hold()
    await add_job(database, target={"url": receiver.url}, due=await now_of(database))
    counts = (await deliverer.run_due(await now_of(database), 0.3)).counts
    assert counts["running"] == 1


async def test_what_there_was_no_time_for_is_told(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    receiver.hold()
    await add_calls(database, receiver, 9)
    deliverer = await deliverers(calls=2, claiming=False)
    called = await deliverer.run_due(await now_of(database), 0.3)
    # One of the places is for others.
    assert (called.counts["running"], called.more) == (1, True)


async def test_a_request_to_run_all_that_is_due_has_more_if_calls_have(
    database: Database, receiver: Receiver, deliverers: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "CALL_SECONDS", 0.3)
    receiver.hold()
    await add_calls(database, receiver, 3)
    report = await Runner(database, 10, await deliverers(calls=1, claiming=False)).run_call()
    assert (report.running, report.more) == (1, True)


async def limit(database: Database, receiver: Receiver, most: int) -> None:
    await execute(
        database,
        "INSERT INTO concurrencylimit (scope, name, \"limit\") VALUES ('host', :host, :most)",
        host=urls.host_of(receiver.url),
        most=most,
    )


async def test_what_a_limit_holds_back_is_called_as_others_end(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    await add_calls(database, receiver, 5)
    await limit(database, receiver, 2)
    deliverer = await deliverers(claiming=False)
    called = await deliverer.run_due(await now_of(database), 30)
    assert (called.counts["finished"], called.more, called.waiting) == (5, False, False)


async def test_a_call_that_ends_while_others_are_looked_for_makes_room(
    database: Database, receiver: Receiver, deliverers: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One waits for the only place at a host; a call elsewhere ends first, and has it looked for again."""
    go_on = receiver.hold()
    await add_calls(database, receiver, 2)
    await limit(database, receiver, 1)
    async with receiving() as other:
        url = other.url.replace("127.0.0.1", "localhost")
        await add_job(database, target={"url": url}, due=await now_of(database))
        deliverer = await deliverers(claiming=False)
        claim, began, number = deliverer._claim, list[Any](), 0

        async def settled_meanwhile(*args: Any) -> Any:
            nonlocal number
            number += 1
            found = await claim(*args)
            began.extend(found[1])
            if number == 2:
                go_on.set()
                await asyncio.wait(began)
            return found

        monkeypatch.setattr(deliverer, "_claim", settled_meanwhile)
        called = await deliverer.run_due(await now_of(database), 30)
    assert (number >= 2, called.counts["finished"], called.waiting) == (True, 3, False)


async def test_a_call_that_takes_too_long_holds_back_another_and_is_told(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    receiver.hold()
    await add_calls(database, receiver, 2)
    await limit(database, receiver, 1)
    deliverer = await deliverers(claiming=False)
    called = await deliverer.run_due(await now_of(database), 0.3)
    assert (called.counts["running"], called.more, called.waiting) == (1, False, True)


async def test_what_waits_for_the_call_of_another_replica_is_told(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    await limit(database, receiver, 1)
    receiver.hold()
    await add_job(database, target={"url": receiver.url}, due=await now_of(database))
    await deliverers("other")
    await until(database, "SELECT count(*) FROM joblog WHERE status = 'running'", 1)
    await add_job(database, target={"url": receiver.url}, due=await now_of(database))
    mine = await deliverers(claiming=False)
    called = await mine.run_due(await now_of(database), 30)
    assert (called.counts["running"], called.more, called.waiting) == (0, False, True)


async def test_many_callers_at_once_share_the_places(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    await add_calls(database, receiver, 12)
    deliverer = await deliverers(calls=2)
    due = await now_of(database)
    await asyncio.gather(*(deliverer.run_due(due, 30) for _ in range(5)))
    await until(database, "SELECT count(*) FROM joblog WHERE status = 'finished'", 12)
    assert len(receiver.requests) == 12


async def test_a_single_free_place_is_enough_for_what_is_due(
    database: Database, receiver: Receiver, deliverers: Make
) -> None:
    receiver.hold()
    await add_calls(database, receiver, 9)
    # One more is kept for hosts of which nothing is under way.
    deliverer = await deliverers(calls=11)
    await receiver.arrived(9)
    receiver.always(200)
    await add_job(database, target={"url": receiver.url}, due=await now_of(database))
    deliverer.wake()
    await until(database, "SELECT status FROM joblog WHERE jobid = 10", "finished")
    assert await scalar(database, "SELECT count(*) FROM joblog WHERE status = 'running'") == 9


async def test_what_has_not_begun_or_was_stopped_makes_no_progress(
    database: Database, deliverers: Make
) -> None:
    client = Client(Guard(loopback=True))
    caller = Caller(client, Cipher([]), "http://localhost/runs", "tests")
    waiting = Deliverer(database, client, caller, Terms("two", timedelta(60), 1000), Capacity(50, 0.5))
    assert waiting.standstill == ["Nothing is run before it is confirmed that the database was restored."]
    deliverer = await deliverers()
    assert deliverer.standstill == []
    await deliverer.stop(0)
    assert "The deliverer does not run." in deliverer.standstill
    assert (await deliverers(claiming=False)).standstill == []
