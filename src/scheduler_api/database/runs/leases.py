"""Statements on running logs and the leases that they are held under."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import any_, bindparam, select, text

from scheduler_api.database.jobs.definitions import IS_REFINED, SCHEDULE, SHORT_TARGET
from scheduler_api.database.jobs.rows import ScheduleRow
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE, joblog


@dataclass
class LeasedLog(ScheduleRow):
    """A log as those need it who settle it, locked; with its job's schedule and rules."""

    misfire: str
    overlap: bool
    autopause: int | None
    pausedat: datetime | None
    deletedat: datetime | None
    target: str | None
    """As JSON, without what is sent to it."""
    refined: bool
    """Whether there is more to the schedule than an interval, or one start."""
    openissues: int
    """How many issues of the job are open."""
    logid: int
    cause: str
    status: str
    attempt: int
    spent: int
    scheduledfor: datetime
    startedat: datetime | None
    following: datetime | None
    runs: int
    lastrun: datetime | None
    host: str | None
    leasetoken: UUID | None
    leaseuntil: datetime | None
    acceptedat: datetime | None
    """Since when its target goes on with the run by itself."""
    ahead: datetime | None
    """The last occurrence that has a row although it is later; None: there is none."""

    @property
    def carries(self) -> bool:
        """Whether it carries its job's future."""
        return self.following is not None


_LEASED = f"""
    SELECT {SCHEDULE}, misfire, overlap, autopause, pausedat, deletedat,
           CAST({SHORT_TARGET} AS text) AS target, {IS_REFINED} AS refined,
           openissues, logid, cause, status, attempt, spent, scheduledfor, startedat, following, joblog.runs,
           joblog.lastrun, joblog.host, leasetoken, leaseuntil, acceptedat, ahead
    FROM joblog JOIN job ON job.jobid = joblog.jobid
"""
#: Rows that somebody else holds, and those of jobs that somebody else holds, are left out, not waited for:
#: what is settled may refer to the job.
_IF_FREE = "ORDER BY logid FOR UPDATE OF joblog SKIP LOCKED FOR NO KEY UPDATE OF job SKIP LOCKED"
#: Of these logs, those that still run under the token that is shown, as far as they are free.
FENCE = Statement(
    f"""
    {_LEASED} WHERE {LIVE} AND status = 'running' AND leasetoken = ANY(:tokens) AND logid = ANY(:logids)
    {_IF_FREE}
    """,
    LeasedLog,
)
#: The same, whoever holds the rows; without any lock.
CURRENT = Statement(
    select(joblog.c.logid, joblog.c.leasetoken).where(
        text(LIVE),
        joblog.c.status == "running",
        joblog.c.leasetoken == any_(bindparam("tokens")),
        joblog.c.logid == any_(bindparam("logids")),
    )
)
# Changes nothing of those that have run out, but could: where the row is locked, or the table, its holder
# cannot renew the lease either. What began at an instant that is yet to come began by a clock that was ahead:
# its lease lasts from now on as long as it would have lasted from then on.
EXPIRED = Statement(
    f"""
    WITH ahead AS (
        SELECT logid FROM joblog
        WHERE {LIVE} AND status = 'running' AND kind = 'http' AND acceptedat IS NULL
          AND lastrun > :now AND leaseuntil > lastrun
        ORDER BY logid LIMIT :limit FOR UPDATE SKIP LOCKED
    ), shortened AS (
        UPDATE joblog SET leaseuntil = CAST(:now AS timestamptz) + (leaseuntil - lastrun)
        WHERE {LIVE} AND logid = ANY(ARRAY(SELECT logid FROM ahead))
    ), expired AS (
        SELECT logid FROM joblog WHERE {LIVE} AND status = 'running' AND leaseuntil <= :now
        ORDER BY logid LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE joblog SET leaseuntil = leaseuntil WHERE {LIVE} AND logid = ANY(ARRAY(SELECT logid FROM expired))
    RETURNING leasetoken
    """
)
TAKEN_OVER = Statement(
    f"""
    {_LEASED}
    WHERE {LIVE} AND status = 'running' AND leaseuntil <= :now AND leasetoken = ANY(:tokens) {_IF_FREE}
    """,
    LeasedLog,
)
LOCK = Statement("SELECT logid FROM joblog WHERE logid = :logid FOR UPDATE")
IS_THERE = Statement("SELECT logid FROM joblog WHERE logid = :logid")
ONE = Statement(f"{_LEASED} WHERE logid = :logid FOR NO KEY UPDATE OF job", LeasedLog)
RENEW = Statement(
    f"""
    WITH mine AS (
        SELECT logid FROM joblog
        WHERE {LIVE} AND status = 'running' AND leasetoken = ANY(:tokens) AND logid = ANY(:logids)
        ORDER BY logid FOR UPDATE SKIP LOCKED
    )
    -- The target may have accepted the run meanwhile: that lasts longer.
    UPDATE joblog SET leaseuntil = greatest(leaseuntil, CAST(:leaseuntil AS timestamptz))
    WHERE {LIVE} AND logid = ANY(ARRAY(SELECT logid FROM mine))
    RETURNING leasetoken
    """
)


async def fence(session: Session, held: Sequence[tuple[int, UUID]]) -> dict[UUID, LeasedLog]:
    """Of these logs (with their tokens), those that are still held so; locked, by token.

    Those of which somebody else holds the row are not among them: see `current`.
    """
    logids, tokens = [logid for logid, _ in held], [token for _, token in held]
    rows = await session.all(FENCE, logids=logids, tokens=tokens)
    shown = {*held}
    return {log.leasetoken: log for log in rows if log.leasetoken and (log.logid, log.leasetoken) in shown}


async def current(session: Session, held: Sequence[tuple[int, UUID]]) -> set[UUID]:
    """Of these logs (with their tokens), the tokens of those that are still held so, locked or not."""
    if not held:
        return set()
    logids, tokens = [logid for logid, _ in held], [token for _, token in held]
    rows = await session.all(CURRENT, logids=logids, tokens=tokens)
    shown = {*held}
    return {token for logid, token in rows if (logid, token) in shown}


async def expired(session: Session, now: datetime, limit: int) -> list[UUID]:
    """The tokens of up to `limit` running logs whose lease has run out, and could have been renewed now.

    Leases that were given by a clock that was ahead are shortened.
    """
    return await session.values(EXPIRED, now=now, limit=limit)


async def take_over(session: Session, now: datetime, tokens: Sequence[UUID]) -> list[LeasedLog]:
    """The running logs of these tokens whose lease has run out and that nobody else holds, locked."""
    return await session.all(TAKEN_OVER, now=now, tokens=tokens)


async def lock(session: Session, logid: int) -> LeasedLog | None:
    """The log with its lease; it and its job are locked."""
    # The lock may be waited for: what the job says is read after it. Meanwhile the row may have moved between
    # the live rows and history, where it is locked then.
    while await session.value(LOCK, logid=logid) is None:
        if await session.value(IS_THERE, logid=logid) is None:
            return None
    return await session.one_or_none(ONE, logid=logid)


async def renew(session: Session, held: Sequence[tuple[int, UUID]], until: datetime) -> set[UUID]:
    """Hold these logs (with their tokens) until then, if not longer; the tokens of those that could be."""
    logids, tokens = [logid for logid, _ in held], [token for _, token in held]
    return set(await session.values(RENEW, logids=logids, tokens=tokens, leaseuntil=until))
