"""Statements on days that are closed: what became of each job's runs, and what a check found.

A row is under the day of the last occurrence that it tells of, or under the day on which it was settled, if
that one was closed by then: so nothing is added to a day that is closed, and each row is in one tally.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.history import history, jobopen, jobtally
from scheduler_api.database.tables.jobs import job
from scheduler_api.database.tables.runs import TOOK


class Closing(NamedTuple):
    """How far days are closed."""

    openday: date
    """The first day under which rows may still be kept."""
    closing: date
    """The day up to which all jobs are being closed, or were."""
    closedto: date
    """The day up to which all jobs are closed."""
    closingjob: int
    """The last job that was closed up to `closing`; 0: none of them."""


class Frontier(NamedTuple):
    """From which days on a job's rows are there, and are still to be compared with its schedule."""

    history: date
    """The first day whose history is kept; `date.min`: all of it is."""
    horizon: date
    """The first day whose rows are all there: of earlier ones, none that finished are if the job records
    failures only; `date.min`: all are.
    """
    since: date
    """The first day that is open, of this job; `date.min`: all are."""

    @property
    def is_thinned(self) -> bool:
        """Whether there are days of which only some rows are kept."""
        return self.horizon > self.history


class DayRow(NamedTuple):
    """What became of a job's runs on a day, of UTC."""

    day: date
    finished: int
    failed: int
    skipped: dict[str, int]
    """How many occurrences were skipped, by the reason."""
    missed: int
    p50: float | None
    p95: float | None
    """Milliseconds that calls took."""


class ClosedDays(NamedTuple):
    """What a check counted and found on days that are closed."""

    rows: int
    accounted: int
    findings: list[dict[str, Any]] | None


class Earlier(NamedTuple):
    """How a job's schedule stood, by the occurrences before a day."""

    runs: int
    stopped: bool
    """Whether its last run could not even be tried."""


CLOSING = Statement(select(*columns(history, Closing)), Closing)
#: Nobody waits for the turn: the one who has it goes on for all.
TRY_TURN = Statement(select(*columns(history, Closing)).with_for_update(skip_locked=True), Closing)
#: Shared by all that take rows out of days; who closes days has the turn alone.
HOLD_CLOSING = Statement(select(history.c.openday).with_for_update(read=True, key_share=True))
#: Only one that removes the job is waited for.
HOLD_JOB = Statement("SELECT jobid FROM job WHERE jobid = :jobid AND removedat IS NULL FOR KEY SHARE")
OPEN = Statement(update(history).values(openday=bindparam("day"), closing=history.c.openday, closingjob=0))
REACHED = Statement(update(history).values(closingjob=bindparam("jobid")))
CLOSE = Statement(update(history).values(closedto=history.c.closing, closingjob=0))
JOBS = Statement(
    select(job.c.jobid)
    .where(job.c.jobid > bindparam("after"), job.c.removedat.is_(None))
    .order_by(job.c.jobid)
    .limit(bindparam("limit"))
)
FRONTIER = Statement(
    """
    SELECT horizon AS history,
           greatest(horizon, (SELECT since FROM jobthinned WHERE jobid = :jobid)) AS horizon,
           coalesce((SELECT since FROM jobopen WHERE jobid = :jobid), closedto) AS since
    FROM history
    """,
    Frontier,
)
HORIZON = Statement(select(history.c.horizon))
KEEP_OPEN = Statement(
    insert(jobopen)
    .values(jobid=bindparam("jobid"), since=bindparam("since"))
    .on_conflict_do_update(index_elements=["jobid"], set_={"since": bindparam("since")})
)
NOT_OPEN = Statement(delete(jobopen).where(jobopen.c.jobid == bindparam("jobid")))
COUNT_ROWS = Statement(
    """
    SELECT count(*) FROM (
        SELECT FROM joblog WHERE jobid = :jobid AND day >= :first AND day < :end LIMIT :most
    ) AS found
    """
)
# The schedule's own rows account for occurrences, but for a next run and for what was not to be.
TALLY = Statement(
    f"""
    WITH kept AS (
        SELECT *, CASE WHEN cause = 'schedule' THEN row_number() OVER (
                   PARTITION BY day, cause ORDER BY scheduledfor DESC, logid DESC
               ) END AS newest
        FROM joblog WHERE jobid = :jobid AND day >= :first AND day < :end
    ), found AS (
        SELECT * FROM jsonb_to_recordset(CAST(:findings AS jsonb)) AS found (day date, findings jsonb)
    ), days AS (
        SELECT day, count(*) FILTER (WHERE status = 'finished') AS finished,
               count(*) FILTER (WHERE status = 'failed') AS failed,
               coalesce(sum(missed) FILTER (WHERE status <> 'skipped'), 0) AS missed,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY took) AS p50,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY took) AS p95,
               count(*) FILTER (WHERE cause = 'schedule') AS rows,
               coalesce(sum(coalesce(missed, 0) + 1) FILTER (WHERE cause = 'schedule'), 0) AS accounted,
               max(runs) FILTER (WHERE newest = 1) AS runs,
               coalesce(bool_or(status = 'failed' AND kind <> 'monitor' AND NOT EXISTS (
                   SELECT FROM logattempt WHERE logattempt.logid = kept.logid
               )) FILTER (WHERE newest = 1), false) AS stopped
        FROM (
            SELECT *, {TOOK} AS took
            FROM kept
        ) AS kept
        GROUP BY day
    ), skipped AS (
        SELECT day, jsonb_object_agg(reason, occurrences) AS reasons FROM (
            SELECT day, reason, sum(coalesce(missed, 0) + 1) AS occurrences FROM kept
            WHERE status = 'skipped' GROUP BY day, reason
        ) AS reasons GROUP BY day
    )
    INSERT INTO jobtally (jobid, day, finished, failed, skipped, missed, p50, p95, rows, accounted, runs,
                          stopped, findings)
    SELECT :jobid, day, coalesce(finished, 0), coalesce(failed, 0), coalesce(reasons, '{{}}'),
           coalesce(missed, 0), p50, p95, coalesce(rows, 0), coalesce(accounted, 0), runs,
           coalesce(stopped, false), findings
    FROM days FULL JOIN found USING (day) LEFT JOIN skipped USING (day)
    ON CONFLICT (jobid, day) DO UPDATE SET
        finished = excluded.finished, failed = excluded.failed, skipped = excluded.skipped,
        missed = excluded.missed, p50 = excluded.p50, p95 = excluded.p95, rows = excluded.rows,
        accounted = excluded.accounted, runs = excluded.runs, stopped = excluded.stopped,
        findings = excluded.findings
    """
)
CLOSED_DAYS = Statement(
    """
    SELECT CAST(coalesce(sum(rows), 0) AS bigint) AS rows,
           CAST(coalesce(sum(accounted), 0) AS bigint) AS accounted,
           (SELECT array_agg(found ORDER BY day) FROM (
                SELECT day, jsonb_array_elements(findings) AS found FROM jobtally
                WHERE jobid = :jobid AND day < :before AND findings IS NOT NULL
            ) AS closed) AS findings
    FROM jobtally WHERE jobid = :jobid AND day < :before
    """,
    ClosedDays,
)
# Of rows of earlier occurrences some may have settled later, and be under a later day.
BEFORE = Statement(
    """
    WITH tallied AS (
        SELECT day, runs, stopped FROM jobtally WHERE jobid = :jobid AND day < :day AND runs IS NOT NULL
    ), late AS (
        SELECT runs, status = 'failed' AND kind <> 'monitor' AND NOT EXISTS (
                   SELECT FROM logattempt WHERE logattempt.logid = joblog.logid
               ) AS stopped
        FROM joblog
        WHERE jobid = :jobid AND cause = 'schedule' AND (status <> 'pending' OR attempt > 1)
          AND day >= :day AND scheduledfor < CAST(CAST(:day AS date) AS timestamp) AT TIME ZONE 'UTC'
        ORDER BY scheduledfor DESC LIMIT 1
    )
    SELECT greatest((SELECT max(runs) FROM tallied), (SELECT runs FROM late)) AS runs,
           coalesce((SELECT stopped FROM late), (SELECT stopped FROM tallied ORDER BY day DESC LIMIT 1))
               AS stopped
    WHERE EXISTS (SELECT FROM tallied) OR EXISTS (SELECT FROM late)
    """,
    Earlier,
)
IS_CLEAN = Statement("SELECT findings IS NULL AS clean FROM jobtally WHERE jobid = :jobid AND day = :day")
OF_DAYS = Statement(
    select(*columns(jobtally, DayRow))
    .where(
        jobtally.c.jobid == bindparam("jobid"),
        jobtally.c.day < bindparam("before"),
    )
    .order_by(jobtally.c.day.desc())
    .limit(bindparam("limit")),
    DayRow,
)


async def closing(session: Session) -> Closing:
    """How far days are closed."""
    return await session.one(CLOSING)


async def try_turn(session: Session) -> Closing | None:
    """The same, and the turn to go on with closing until the transaction ends; None: somebody else has it."""
    return await session.one_or_none(TRY_TURN)


async def hold_closing(session: Session) -> None:
    """Let nobody close days until the transaction ends."""
    await session.all(HOLD_CLOSING)


async def hold_job(session: Session, jobid: int) -> bool:
    """Let nobody remove the job until the transaction ends; whether it is there."""
    return await session.value(HOLD_JOB, jobid=jobid) is not None


async def open_later(session: Session, day: date) -> None:
    """Let no row be added to the days before `day`, and begin to close those up to the former such day."""
    await session.all(OPEN, day=day)


async def reached(session: Session, jobid: int) -> None:
    """Remember the last job that was closed."""
    await session.all(REACHED, jobid=jobid)


async def close(session: Session) -> None:
    """All jobs are closed."""
    await session.all(CLOSE)


async def jobids(session: Session, after: int, limit: int) -> list[int]:
    """Up to `limit` jobs above a jobid, in order, but those that are being removed."""
    return await session.values(JOBS, after=after, limit=limit)


async def frontier(session: Session, jobid: int) -> Frontier:
    """From which days on the job's rows are there, and are to be compared."""
    return await session.one(FRONTIER, jobid=jobid)


async def horizon(session: Session) -> date:
    """The first day whose history is kept; `date.min`: all of it is."""
    found: date = await session.value(HORIZON)
    return found


async def keep_open(session: Session, jobid: int, since: date) -> None:
    """Let the job be open from a day on."""
    await session.all(KEEP_OPEN, jobid=jobid, since=since)


async def not_open(session: Session, jobid: int) -> None:
    """Let the job be closed as far as all are."""
    await session.all(NOT_OPEN, jobid=jobid)


async def count_rows(session: Session, jobid: int, first: date, end: date, most: int) -> int:
    """How many rows of a job are under the days from `first` up to `end`, up to `most`."""
    return int(await session.value(COUNT_ROWS, jobid=jobid, first=first, end=end, most=most))


async def tally(
    session: Session, jobid: int, first: date, end: date, findings: Mapping[date, Sequence[Mapping[str, Any]]]
) -> None:
    """Count what is kept under the days from `first` up to `end`, with what a check found on each."""
    documents = [{"day": str(day), "findings": found} for day, found in findings.items()]
    await session.all(TALLY, jobid=jobid, first=first, end=end, findings=json.dumps(documents))


async def closed_days(session: Session, jobid: int, before: date) -> ClosedDays:
    """What was counted and found on the days before that."""
    return await session.one(CLOSED_DAYS, jobid=jobid, before=before)


async def before(session: Session, jobid: int, day: date) -> Earlier | None:
    """How the job's schedule stood when a day began; None: it had accounted for nothing before."""
    return await session.one_or_none(BEFORE, jobid=jobid, day=day)


async def is_clean(session: Session, jobid: int, day: date) -> bool:
    """Whether a day is closed, and nothing was found to be wrong with it."""
    return bool(await session.value(IS_CLEAN, jobid=jobid, day=day))


async def of_days(session: Session, jobid: int, before: date, limit: int) -> list[DayRow]:
    """Up to `limit` of the job's tallies of days before that one, the newest first."""
    return await session.all(OF_DAYS, jobid=jobid, before=before, limit=limit)
