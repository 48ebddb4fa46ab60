"""Statements on attempts, on what accepted runs tell, and on trying again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select

from scheduler_api.database.runs.leases import LeasedLog
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.jobs import job
from scheduler_api.database.tables.runs import ATTEMPT, LASTRUN, LINE, LIVE, logattempt


@dataclass
class AttemptRow:
    """An attempt as it is shown."""

    logid: int
    attempt: int
    startedat: datetime
    finishedat: datetime | None
    outcome: str
    failure: str | None
    error: str | None
    httpstatus: int | None
    timing: dict[str, Any] | None
    excerpt: str | None
    progress: int | None
    message: str | None
    replica: str


@dataclass
class AttemptOfLog(AttemptRow):
    """One of all attempts of a log."""

    jobcreatedat: datetime


class LineRow(NamedTuple):
    """A line of a run's output."""

    lineid: int
    attempt: int
    at: datetime
    line: str


OF_LOG = Statement(
    select(*columns(logattempt, AttemptRow), job.c.createdat.label("jobcreatedat"))
    .join_from(logattempt, job, job.c.jobid == logattempt.c.jobid)
    .where(logattempt.c.logid == bindparam("logid"))
    .order_by(logattempt.c.attempt),
    AttemptOfLog,
)
#: The last attempt of each of these logs.
LATEST = Statement(
    """
    SELECT DISTINCT ON (logid) logid, attempt, startedat, finishedat, outcome, failure, error, httpstatus,
           timing, CAST(NULL AS text) AS excerpt, progress, message, replica
    FROM logattempt WHERE logid = ANY(:logids) ORDER BY logid, attempt DESC
    """,
    AttemptRow,
)
LINES = Statement(
    """
    SELECT * FROM (
        SELECT lineid, attempt, at, line FROM logline WHERE logid = :logid ORDER BY lineid DESC LIMIT :limit
    ) AS newest ORDER BY lineid
    """,
    LineRow,
)
TELL = Statement(
    f"""
    WITH heard AS (
        UPDATE joblog SET leaseuntil = :until WHERE {LIVE} AND logid = :logid
    )
    UPDATE logattempt SET progress = coalesce(:progress, progress), message = coalesce(:message, message)
    WHERE {LIVE} AND logid = :logid AND attempt = :attempt
    """
)
# What goes beyond the most lines of an attempt is dropped.
ADD_LINES = Statement(
    f"""
    INSERT INTO logline (logid, jobid, attempt, at, line)
    SELECT :logid, :jobid, :attempt, :now, line
    FROM unnest(CAST(:lines AS text[])) WITH ORDINALITY AS told (line, number)
    WHERE number + (
        SELECT count(*) FROM logline WHERE {LIVE} AND logid = :logid AND attempt = :attempt
    ) <= :limit
    ORDER BY number
    """
)
# Takes the run back from history to the live rows, with what was written about it. The tally of its day, if
# that is closed, counts it no more: that of the day on which it settles will.
RETRY = Statement(
    f"""
    WITH failed AS (
        DELETE FROM joblog WHERE logid = :logid RETURNING *
    ), counted AS (
        UPDATE jobtally SET
            failed = jobtally.failed - 1, missed = jobtally.missed - coalesce(failed.missed, 0),
            rows = jobtally.rows - CAST(cause = 'schedule' AS int),
            accounted = accounted - CASE cause WHEN 'schedule' THEN coalesce(failed.missed, 0) + 1 ELSE 0 END
        FROM failed WHERE jobtally.jobid = failed.jobid AND jobtally.day = failed.day
    ), added AS (
        INSERT INTO joblog (logid, jobid, scheduledfor, nextrun, lastrun, missed, through, parentlogid,
                            status, cause, kind, runs, attempt, spent, host, body)
        OVERRIDING SYSTEM VALUE
        SELECT logid, jobid, scheduledfor, :now, {LASTRUN}, missed, through, parentlogid,
               'pending', cause, kind, runs, attempt + 1, attempt, :host, body
        FROM failed
    ), sent AS (
        DELETE FROM logattempt WHERE logid = :logid RETURNING *
    ), attempts AS (
        INSERT INTO logattempt ({ATTEMPT}) SELECT {ATTEMPT} FROM sent
    ), said AS (
        DELETE FROM logline WHERE logid = :logid RETURNING *
    )
    INSERT INTO logline ({LINE}) OVERRIDING SYSTEM VALUE SELECT {LINE} FROM said
    """
)


async def of_log(session: Session, logid: int) -> list[AttemptOfLog]:
    """The log's attempts, in order."""
    return await session.all(OF_LOG, logid=logid)


async def latest(session: Session, logids: Sequence[int]) -> dict[int, AttemptRow]:
    """The last attempt of each of these logs that has one, by logid; without the excerpts."""
    return {row.logid: row for row in await session.all(LATEST, logids=logids)}


async def lines(session: Session, logid: int, limit: int) -> list[LineRow]:
    """The newest lines of the run's output, in order."""
    return await session.all(LINES, logid=logid, limit=limit)


async def tell(
    session: Session,
    logid: int,
    attempt: int,
    until: datetime,
    progress: int | None,
    message: str | None,
) -> None:
    """Hold a running log until then, and write down how far it has come."""
    values = {"progress": progress, "message": message}
    await session.all(TELL, logid=logid, attempt=attempt, until=until, **values)


async def add_lines(
    session: Session, now: datetime, log: LeasedLog, added: Sequence[str], limit: int
) -> None:
    """Keep lines of the attempt that is in progress, `limit` of all it tells."""
    values = {"logid": log.logid, "jobid": log.jobid, "attempt": log.attempt}
    await session.all(ADD_LINES, **values, now=now, lines=added, limit=limit)


async def retry(session: Session, now: datetime, logid: int, host: str) -> None:
    """Make a failed log pending anew: its attempts so far count no more."""
    await session.all(RETRY, now=now, logid=logid, host=host)
