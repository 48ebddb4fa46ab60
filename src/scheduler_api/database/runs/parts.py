"""The parts of history: what they take on disk, and what is moved into them as it was settled ahead."""

from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import select

from scheduler_api.database.runs.days import day_of
from scheduler_api.database.statements import Session, Statement, command
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.history import history
from scheduler_api.database.tables.runs import ATTEMPT, LINE, LIVE, LOG, PARTITIONED

#: Days of a part where history is kept for less than so long, and where it is kept for longer, or for ever.
SHORT_PART, SHORT = 1, timedelta(weeks=2)
PART = 7
LONG_PART, LONG = 28, timedelta(weeks=30)
#: So much longer than asked history is kept: a day more or less is nothing to those who set it.
MARGIN = timedelta(days=1)
#: Any number that no other user of the same database takes; spells "jobpart".
PARTS_KEY = 0x6A6F6270617274
#: What parts are called: by the table and their first day.
_NAME = rf"^({'|'.join(table.name for table in PARTITIONED)})_\d{{8}}$"


class Held(NamedTuple):
    """Which days the parts hold."""

    firstday: date
    lastday: date


class LeftTable(NamedTuple):
    """A table whose days have gone from history."""

    name: str
    parent: str | None
    """Of what it is a part; None: of nothing any more."""
    pending: bool
    """Whether it was being detached when that was broken off."""


class PartSize(NamedTuple):
    """A part of history, and what it takes."""

    first: date
    """The first of its days."""
    end: date
    """The day after the last of them."""
    bytes: int


class Size(NamedTuple):
    """What the database takes, and since when it has been in use."""

    bytes: int
    begin: datetime | None
    """Since when it has been in use, as its first job tells, or the first run in history."""
    horizon: date
    """The first day whose history is kept; `date.min`: all of it is."""


HELD = Statement(select(*columns(history, Held)), Held)
TRY_TURN = Statement("SELECT pg_try_advisory_xact_lock(:key)")
EXTEND = Statement("UPDATE history SET lastday = :lastday")
#: The first days of all parts that have not gone, in order.
FIRSTS = Statement(
    rf"""
    SELECT to_date(right(relname, 8), 'YYYYMMDD') AS first
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = to_regclass('joblog') AND relname ~ '{_NAME}'
      AND to_date(right(relname, 8), 'YYYYMMDD') >= (SELECT firstday FROM history)
    ORDER BY 1
    """
)
#: From then on rows are kept; those before, which are closed, may go.
FORGET = Statement(
    "UPDATE history SET firstday = :first, horizon = :first, leaving = leaving || CAST(:gone AS date)"
)
# Only of parts that have gone: a table of somebody else may be called so, too.
_LEFT = f"""
    FROM history CROSS JOIN unnest(leaving) AS day JOIN pg_class
        ON relname ~ '{_NAME}' AND right(relname, 8) = to_char(day, 'YYYYMMDD')
    WHERE relkind = 'r' AND pg_table_is_visible(pg_class.oid)
"""
GONE = Statement(
    f"""
    SELECT relname AS name, CAST(CAST(inhparent AS regclass) AS text) AS parent,
           coalesce(inhdetachpending, false) AS pending
    FROM (SELECT pg_class.oid, relname {_LEFT}) AS own LEFT JOIN pg_inherits ON inhrelid = own.oid
    ORDER BY relname
    """,
    LeftTable,
)
_ENGINE = "EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
HAS_ENGINE = Statement(f"SELECT {_ENGINE}")
IS_SPREAD = Statement(f"SELECT cells IS NOT NULL AND {_ENGINE} FROM schemaversion")
HAVE_LEFT = Statement(
    f"""
    UPDATE history SET leaving = '{{}}' WHERE leaving <> '{{}}' AND NOT EXISTS (SELECT {_LEFT})
    """
)
SIZE = Statement(
    """
    SELECT pg_database_size(current_database()) AS bytes,
           least(
               (SELECT createdat FROM job ORDER BY jobid LIMIT 1),
               (SELECT finishedat FROM joblog WHERE day < 'infinity' ORDER BY logid LIMIT 1)
           ) AS begin, horizon
    FROM history
    """,
    Size,
)
#: The parts that hold history, in order; each is a table of logs, one of attempts and one of lines.
SIZES = Statement(
    rf"""
    SELECT first, coalesce(lead(first) OVER (ORDER BY first), lastday + 1) AS "end", bytes
    FROM history CROSS JOIN (
        SELECT to_date(right(relname, 8), 'YYYYMMDD') AS first,
               CAST(sum(pg_total_relation_size(pg_class.oid)) AS bigint) AS bytes
        FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE relname ~ '{_NAME}' AND pg_table_is_visible(pg_class.oid) GROUP BY 1
    ) AS part
    WHERE first >= firstday ORDER BY first
    """,
    PartSize,
)
# What was skipped ahead of its time, and is over; and what was written by hand. A row that history has
# already stays where it is, for those who look after it.
SWEEP = Statement(
    f"""
    WITH over AS (
        SELECT logid FROM joblog JOIN job USING (jobid)
        WHERE {LIVE} AND status NOT IN ('pending', 'running') AND coalesce(through, scheduledfor) <= :now
          AND NOT EXISTS (
              SELECT FROM joblog AS known
              WHERE known.day < 'infinity' AND known.jobid = joblog.jobid
                AND known.scheduledfor = joblog.scheduledfor AND known.parentlogid = joblog.parentlogid
                AND known.cause = joblog.cause
          )
        ORDER BY logid LIMIT :limit
        FOR UPDATE OF joblog SKIP LOCKED FOR NO KEY UPDATE OF job SKIP LOCKED
    ), gone AS (
        DELETE FROM joblog USING over WHERE joblog.{LIVE} AND joblog.logid = over.logid
        RETURNING joblog.*, {day_of("coalesce(through, scheduledfor)")} AS kept
    ), sent AS (
        DELETE FROM logattempt USING gone WHERE logattempt.{LIVE} AND logattempt.logid = gone.logid
        RETURNING logattempt.*, kept
    ), said AS (
        DELETE FROM logline USING gone WHERE logline.{LIVE} AND logline.logid = gone.logid
        RETURNING logline.*, kept
    ), attempts AS (
        INSERT INTO logattempt (day, {ATTEMPT}) SELECT kept, {ATTEMPT} FROM sent
    ), lines AS (
        INSERT INTO logline (day, {LINE}) OVERRIDING SYSTEM VALUE SELECT kept, {LINE} FROM said
    ), moved AS (
        INSERT INTO joblog (day, {LOG}) OVERRIDING SYSTEM VALUE SELECT kept, {LOG} FROM gone
    )
    SELECT logid FROM gone
    """
)


def days_of_part(keep: timedelta | None) -> int:
    """The days of a new part, by how long history is kept: so there are some thirty of them.

    A look for a run asks each. None: history is kept for ever.
    """
    if keep is None or keep > LONG:
        return LONG_PART
    return SHORT_PART if keep < SHORT else PART


async def held(session: Session) -> Held:
    """The days that the parts hold."""
    return await session.one(HELD)


async def try_turn(session: Session) -> bool:
    """Whether nobody else changes the parts until the transaction ends."""
    return bool(await session.value(TRY_TURN, key=PARTS_KEY))


async def add(session: Session, first: date, days: int) -> None:
    """Add a part with so many days from `first` on, which is the day after the last one that there is."""
    end = first + timedelta(days=days)
    statements = ["SET LOCAL lock_timeout = '1s'"]
    for table in PARTITIONED:
        name = f"{table.name}_{first:%Y%m%d}"
        # It is made by itself: to make it as a part at once would keep everybody from the table.
        statements += [
            f"CREATE TABLE {name} (LIKE {table.name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
            f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{end}')",
        ]
    await command(session, "; ".join(statements))
    await session.all(EXTEND, lastday=end - timedelta(days=1))


async def firsts(session: Session) -> list[date]:
    """The first days of all parts that have not gone, in order."""
    return await session.values(FIRSTS)


async def forget(session: Session, gone: date, first: date) -> None:
    """Let history begin with a day; the part before it, by its first day, is gone but for its tables."""
    await session.all(FORGET, gone=gone, first=first)


async def gone(session: Session) -> list[LeftTable]:
    """The tables of parts that are gone."""
    return await session.all(GONE)


async def has_engine(session: Session) -> bool:
    """Whether the server can distribute tables over others."""
    return bool(await session.value(HAS_ENGINE))


async def is_spread(session: Session) -> bool:
    """Whether the parts are distributed over several servers."""
    return bool(await session.value(IS_SPREAD))


async def have_left(session: Session) -> None:
    """Forget the parts that are gone, if none of their tables is left."""
    await session.all(HAVE_LEFT)


async def sweep(session: Session, now: datetime, limit: int) -> int:
    """Move up to `limit` settled rows that are over from the live rows into history; how many."""
    return len(await session.values(SWEEP, now=now, limit=limit))


async def size(session: Session) -> Size:
    """What the database takes."""
    return await session.one(SIZE)


async def sizes(session: Session) -> list[PartSize]:
    """What each part of history takes, the oldest first."""
    return await session.all(SIZES)
