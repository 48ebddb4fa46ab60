"""Statements on runs that are made elsewhere, and reported: they begin and end with a call to this one."""

from datetime import datetime

from scheduler_api.database.runs.due import DUE, DueLog
from scheduler_api.database.runs.standing import COLUMNS, TO_JOB
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE

LOCK_RUNNING = Statement(
    f"""
    SELECT logid FROM joblog WHERE {LIVE} AND jobid = :jobid AND status = 'running' AND kind = 'monitor'
    ORDER BY logid FOR UPDATE
    """
)
PENDING = Statement(
    f"SELECT {DUE} FROM joblog WHERE {LIVE} AND logid = :logid AND status = 'pending'", DueLog
)
# Held under a lease as calls are: who lets it run out has not reported the end. Where nothing is to come
# after it, the job keeps how its runs have gone.
BEGIN = Statement(
    f"""
    WITH begun AS (
        UPDATE joblog SET
            status = 'running', nextrun = NULL, lastrun = :now, startedat = :now,
            leasetoken = gen_random_uuid(), leaseuntil = :until,
            runs = runs + CAST(cause = 'schedule' AS int), following = :following
        WHERE {LIVE} AND logid = :logid
        RETURNING jobid, cause, following, {COLUMNS}
    )
    UPDATE job SET {TO_JOB.format(row="begun")} FROM begun
    WHERE job.jobid = begun.jobid AND begun.cause = 'schedule' AND begun.following IS NULL
    """
)


async def lock_running(session: Session, jobid: int) -> list[int]:
    """The logs of a monitor's runs in progress, locked, in order."""
    return await session.values(LOCK_RUNNING, jobid=jobid)


async def pending(session: Session, logid: int) -> DueLog | None:
    """A pending log, which is locked already."""
    return await session.one_or_none(PENDING, logid=logid)


async def mark_running(
    session: Session, now: datetime, logid: int, until: datetime, following: datetime | None
) -> None:
    """Mark a pending log as running, until then at most; the job goes on with an occurrence when it ends."""
    await session.all(BEGIN, now=now, logid=logid, until=until, following=following)
