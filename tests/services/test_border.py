"""Two sessions where live rows, history and horizon meet, in every order of their steps.

One of them closes days, lets a part of history or what finished go, moves what was skipped ahead, or takes a
run back from history; the other one does that, too, or whatever else is done to a job. No occurrence gets a
second row, none is lost, and what was counted of closed days is what they hold.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from itertools import combinations_with_replacement, product
from typing import Any

import pytest
from sqlalchemy.engine import URL

from scheduler_api.contracts.history.backfill import Backfill
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.services.history import backfill, checks, closing
from scheduler_api.services.jobs import actions
from scheduler_api.services.runs import claims, holding, retention, retrying, thinning
from scheduler_api.services.runs.claims import Claim
from scheduler_api.services.runs.retention import FOR_EVER, Keep
from scheduler_api.services.runs.shares import Room
from tests.factories import ACTOR, connected, empty, execute, lay_out_days, rows, scalar
from tests.servers import Server
from tests.services.history.test_closing import FIRST, HOUR, add_daily, at, noon
from tests.services.runs.test_claims import TARGET, TERMS, failed, finished
from tests.services.test_horizon import TALLIED, THERE
from tests.services.test_interleavings import (
    Side,
    assert_told_in_words,
    delete,
    edit,
    heal,
    pause,
    remove,
    retarget,
    run_now,
    side_by_side,
)

#: Two and a half minutes after the run of the sixth day was due.
NOW = noon(6) + timedelta(minutes=2, seconds=30)
TWICE = """
    SELECT jobid, cause, scheduledfor, parentlogid FROM joblog WHERE cause <> 'manual'
    GROUP BY 1, 2, 3, 4 HAVING count(*) > 1
"""


async def begin(session: Session, now: datetime) -> Any:
    return await closing.begin(session, now)


async def close(session: Session, now: datetime) -> Any:
    return await closing.close_some(session, now)


async def forget(session: Session, now: datetime) -> Any:
    return await retention.forget(session, now, Keep(timedelta(0)))


async def thin(session: Session, now: datetime) -> Any:
    await thinning.thin(session, now, FOR_EVER)
    return await thinning.thin_some(session, now)


async def sweep(session: Session, now: datetime) -> Any:
    return await retention.sweep(session, now)


async def retry_oldest(session: Session, now: datetime) -> Any:
    """Of the day that may go."""
    return await retrying.retry(session, now, ACTOR, 1)


async def retry_next(session: Session, now: datetime) -> Any:
    """Of the day that is being closed."""
    return await retrying.retry(session, now, ACTOR, 2)


async def claim(session: Session, now: datetime) -> Claim:
    return await claims.claim(session, now, Room.of(10), TERMS)


async def call(session: Session, now: datetime) -> Any:
    """Begin what is due, and end it."""
    started = (await claim(session, now)).started
    ends = [finished(one) for one in started]
    return await holding.settle_ends(session, now, ends, frozenset())


async def make_up(session: Session, now: datetime) -> Any:
    order = Backfill.model_validate({"since": "2030-01-04T00:00:00Z", "until": "2030-01-06T00:00:00Z"})
    return await backfill.backfill(session, now, ACTOR, 1, order)


KEEPERS: list[Side] = [begin, close, forget, thin, sweep, retry_oldest, retry_next]
OTHERS: list[Side] = [call, edit, retarget, pause, delete, remove, run_now, make_up, heal]
PAIRS = [*combinations_with_replacement(KEEPERS, 2), *product(KEEPERS, OTHERS)]


@pytest.fixture(scope="session")
def border(server: Server) -> Iterator[URL]:
    """A database for all tests here."""
    with server.migrated_database() as url:
        yield url


@pytest.fixture(scope="session")
async def days(border: URL) -> AsyncIterator[Database]:
    """The same, with a part for each of the first ten days of 2030."""
    database = connected(border, 3)
    await lay_out_days(database, FIRST, 10)
    yield database
    await database.close()


async def lay_out(database: Database, *, under_way: bool) -> None:
    """A job that failed on its first three days; the first of them may go, the second is being closed.

    The run of the fifth day was skipped the day before, and has not been moved yet.
    """
    await empty(database)
    await execute(database, "DELETE FROM jobtally")
    await execute(
        database,
        "UPDATE history SET firstday = :first, openday = '-infinity', closing = '-infinity', closingjob = 0,"
        " closedto = '-infinity', horizon = '-infinity', leaving = '{}'",
        first=FIRST,
    )
    await add_daily(database, target=TARGET, record="failures")
    for day in range(1, 5):
        (started,) = (await at(database, noon(day), claim)).started
        end = failed(started, again=False) if day < 4 else finished(started)
        await at(database, noon(day), holding.settle_ends, [end], frozenset())
    await at(database, noon(4) + HOUR, actions.skip_next, ACTOR, 1)
    for day in (3, 4):
        await keep_up(database, noon(day))
    if under_way:
        await at(database, noon(5), closing.begin)


async def keep_up(database: Database, now: datetime) -> None:
    await at(database, now, closing.begin)
    while await at(database, now, closing.close_some):
        pass


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda side: side.__name__)
async def test_nothing_is_lost_or_doubled_where_history_begins_and_ends(
    days: Database, one: Side, other: Side
) -> None:
    # Every second pair while days are being closed; which of them changes with the names only.
    under_way = close in {one, other} or (len(one.__name__) + len(other.__name__)) % 2 == 1
    for first, second, undo in {(one, other, False), (other, one, False), (one, other, True)}:
        order = (first.__name__, second.__name__, f"{undo=}")
        await lay_out(days, under_way=under_way)
        assert_told_in_words(await side_by_side(days, first, second, undo=undo, now=NOW), order)
        # And what is left goes on as if nothing had been.
        await at(days, NOW, call)
        await assert_whole(days, order)
        for now in (noon(8), noon(9)):
            await at(days, now, call)
            await at(days, now, sweep)
            await keep_up(days, now)
        await assert_whole(days, order)


async def assert_whole(database: Database, order: object) -> None:
    assert await rows(database, TWICE) == [], order
    if await scalar(database, "SELECT count(*) FROM job"):
        for full in (False, True):
            report = await database.snapshot(checks.check_job, 1, full=full)
            assert report.clean, (order, report.findings)
    since = await scalar(
        database,
        "SELECT greatest(horizon, (SELECT max(since) FROM jobthinned)) FROM history",
    )
    tallied, there = [
        [tuple(row) for row in await rows(database, query) if row[0] >= since] for query in (TALLIED, THERE)
    ]
    assert tallied == there, order
