"""Statements on jobs that run after others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, select

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.jobs import job

#: Any number that no other user of the same database takes; spells "jobafte".
CHAIN_KEY = 0x6A6F6261667465

TAKE_TURN = Statement("SELECT pg_advisory_xact_lock(:key)")


class Link(NamedTuple):
    """A job that runs after another one."""

    jobid: int
    afterjobid: int
    on: str
    """How a run of the other has to end: as `finished`, as `failed`, or `any` way."""


class Follower(NamedTuple):
    """A job that runs after a log that has ended."""

    jobid: int
    active: bool
    """Whether a run was asked for; else it is paused."""
    parentlogid: int


LINKS = Statement(
    """
    SELECT jobid, afterjobid, after ->> 'on' AS "on" FROM job
    WHERE afterjobid = ANY(:parents) AND deletedat IS NULL ORDER BY jobid
    """,
    Link,
)
FIRE = Statement(
    """
    WITH follower AS (
        SELECT jobid, active, kind, host, parentlogid
        FROM unnest(CAST(:jobids AS bigint[]), CAST(:parentlogids AS bigint[])) AS given (jobid, parentlogid)
        JOIN job USING (jobid)
        WHERE deletedat IS NULL AND (active OR pausedat IS NOT NULL)
    ), asked AS (
        INSERT INTO joblog (jobid, scheduledfor, nextrun, cause, kind, host, parentlogid)
        SELECT jobid, :now, :now, 'after', kind, host, parentlogid FROM follower WHERE active
        ON CONFLICT DO NOTHING
    )
    SELECT jobid, active, parentlogid FROM follower
    """,
    Follower,
)
FOLLOWERS = Statement(
    select(job.c.jobid)
    .where(job.c.afterjobid == bindparam("jobid"), job.c.deletedat.is_(None))
    .order_by(job.c.jobid)
    .limit(bindparam("limit"))
)
#: The job, what it runs after, what that runs after, and so on.
CHAIN = Statement(
    """
    WITH RECURSIVE chain (jobid, depth) AS (
        SELECT CAST(:jobid AS bigint), 1
        UNION
        SELECT job.afterjobid, depth + 1 FROM chain JOIN job USING (jobid)
        WHERE job.afterjobid IS NOT NULL AND depth <= :limit
    )
    SELECT jobid FROM chain ORDER BY depth
    """
)


@dataclass
class LostRuns:
    """Runs that a job lacks."""

    count: int
    first: datetime | None
    """When the first of them should have been."""


#: Ends of the job that it runs after, which it should have run after and did not.
LOST = Statement(
    """
    SELECT count(*) AS count, min(parent.finishedat) AS first
    FROM job JOIN joblog AS parent ON parent.jobid = job.afterjobid
    WHERE job.jobid = :jobid AND parent.status IN ('finished', 'failed')
      AND job.after ->> 'on' IN ('any', CAST(parent.status AS text))
      AND parent.finishedat > job.validfrom AND (job.deletedat IS NULL OR parent.finishedat < job.deletedat)
      AND NOT EXISTS (
          SELECT FROM joblog AS child WHERE child.jobid = job.jobid AND child.parentlogid = parent.logid
      )
    """,
    LostRuns,
)


async def take_turn(session: Session) -> None:
    """Wait until nobody else changes what runs after what."""
    await session.all(TAKE_TURN, key=CHAIN_KEY)


async def links(session: Session, jobids: Sequence[int]) -> list[Link]:
    """The jobs that run after these."""
    return await session.all(LINKS, parents=jobids)


async def fire(session: Session, now: datetime, given: Sequence[tuple[int, int]]) -> list[Follower]:
    """Ask for runs of jobs, each after a log, by jobid and logid; the active ones get one, the paused not."""
    jobids, parentlogids = map(list, zip(*given, strict=True))
    return await session.all(FIRE, now=now, jobids=jobids, parentlogids=parentlogids)


async def followers(session: Session, jobid: int, limit: int) -> list[int]:
    """Up to `limit` jobs that run after the job."""
    return await session.values(FOLLOWERS, jobid=jobid, limit=limit)


async def chain(session: Session, jobid: int, limit: int) -> list[int]:
    """The job, and those before it in its chain, nearest first; a few more than `limit` at most."""
    return await session.values(CHAIN, jobid=jobid, limit=limit)


async def lost(session: Session, jobid: int) -> LostRuns:
    """The runs that the job lacks."""
    return await session.one(LOST, jobid=jobid)
