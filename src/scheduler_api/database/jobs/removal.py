"""Statements that remove a job with its history: out of sight at once, the rows by and by."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, delete, select, update

from scheduler_api.database.jobs.many import NOT_PAUSED
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.jobs import job
from scheduler_api.database.tables.runs import LIVE


class Gone(NamedTuple):
    """Runs that were removed."""

    runs: int
    last: datetime | None
    """The last of their occurrences."""


def with_attempts(chosen: str, day: str = "chosen.day") -> str:
    """Delete the job's logs that are `chosen`, with their attempts and lines.

    Where all are under one `day`, no other part is looked at.
    """
    return f"""
        WITH chosen AS (
            SELECT logid, day, scheduledfor FROM joblog WHERE jobid = :jobid AND {chosen}
        ), gone AS (
            DELETE FROM joblog USING chosen WHERE joblog.logid = chosen.logid AND joblog.day = {day}
        ), attempts AS (
            DELETE FROM logattempt USING chosen
            WHERE logattempt.logid = chosen.logid AND logattempt.day = {day}
        ), lines AS (
            DELETE FROM logline USING chosen WHERE logline.logid = chosen.logid AND logline.day = {day}
        )
        SELECT count(*) AS runs, max(scheduledfor) AS last FROM chosen
    """


LIVE_LOGS = Statement(with_attempts(LIVE), Gone)
SOME_LOGS = Statement(with_attempts("scheduledfor >= :since ORDER BY scheduledfor LIMIT :limit"), Gone)
JOB = Statement(delete(job).where(job.c.jobid == bindparam("jobid")))
# By no key, where the tables of jobs are distributed.
RULES = Statement("DELETE FROM alertrule WHERE jobid = :jobid")
MUTES = Statement("DELETE FROM alertmute WHERE jobid = :jobid")
HIDE = Statement(
    update(job)
    .where(job.c.jobid == bindparam("jobid"))
    .values(NOT_PAUSED | {"active": False, "deletedat": bindparam("now"), "removedat": bindparam("now")})
)
# None of them has a run, or will have: the live ones went when it was deleted.
HIDE_FORGOTTEN = Statement(
    """
    UPDATE job SET removedat = :now WHERE jobid = ANY(ARRAY(
        SELECT jobid FROM job
        WHERE deletedat < :before AND removedat IS NULL
          AND NOT EXISTS (SELECT FROM joblog WHERE joblog.jobid = job.jobid)
        ORDER BY jobid LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    ))
    RETURNING jobid
    """
)
TRY_LOCK = Statement(
    select(job.c.jobid)
    .where(job.c.jobid == bindparam("jobid"), job.c.removedat.is_not(None))
    .with_for_update(skip_locked=True)
)
HIDDEN = Statement(
    select(job.c.jobid).where(job.c.removedat.is_not(None)).order_by(job.c.jobid).limit(bindparam("limit"))
)


async def live_logs(session: Session, jobid: int) -> None:
    """Remove what of the job is pending or running."""
    await session.all(LIVE_LOGS, jobid=jobid)


async def some_logs(session: Session, jobid: int, since: datetime, limit: int) -> Gone:
    """Remove up to `limit` runs of the job, from an occurrence on, in order."""
    return await session.one(SOME_LOGS, jobid=jobid, since=since, limit=limit)


async def whole(session: Session, jobid: int) -> None:
    """Remove a job that has no runs."""
    for statement in (RULES, MUTES, JOB):
        await session.all(statement, jobid=jobid)


async def hide(session: Session, now: datetime, jobid: int) -> None:
    """Let nobody see the job, while its runs are removed."""
    await session.all(HIDE, now=now, jobid=jobid)


async def hide_forgotten(session: Session, now: datetime, before: datetime, limit: int) -> int:
    """Let nobody see up to `limit` jobs that were deleted before then and have no run left; how many."""
    return len(await session.values(HIDE_FORGOTTEN, now=now, before=before, limit=limit))


async def try_lock(session: Session, jobid: int) -> bool:
    """Lock a job that is being removed; False: it is gone, or somebody else goes on with that."""
    return bool(await session.value(TRY_LOCK, jobid=jobid))


async def hidden(session: Session, limit: int) -> Sequence[int]:
    """Up to `limit` jobs whose runs are being removed."""
    return await session.values(HIDDEN, limit=limit)
