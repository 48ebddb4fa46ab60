"""The parts of history, and what is moved into them that was settled ahead of its time."""

from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import select

from scheduler_api.database.runs.days import day_of
from scheduler_api.database.statements import Session, Statement, command
from scheduler_api.database.tables import ATTEMPT, LINE, LIVE, LOG, PARTITIONED, columns, history

#: Any number that no other user of the same database takes; spells "jobpart".
PARTS_KEY = 0x6A6F6270617274


class Days(NamedTuple):
    """Which days the parts hold."""

    firstday: date
    lastday: date


HELD = Statement(select(*columns(history, Days)), Days)
TRY_TURN = Statement("SELECT pg_try_advisory_xact_lock(:key)")
EXTEND = Statement("UPDATE history SET lastday = :lastday")
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
        RETURNING joblog.*, {day_of("scheduledfor")} AS kept
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
    SELECT count(*) FROM gone
    """
)


async def held(session: Session) -> Days:
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


async def sweep(session: Session, now: datetime, limit: int) -> int:
    """Move up to `limit` settled rows that are over from the live rows into history; how many."""
    return int(await session.value(SWEEP, now=now, limit=limit))
