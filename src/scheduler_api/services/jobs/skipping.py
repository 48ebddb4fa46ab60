"""The only writer of what never ran: occurrences that are written off, and logs that are not to run."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from scheduler_api import metrics
from scheduler_api.computing import aside_locked
from scheduler_api.database.jobs import definitions
from scheduler_api.database.runs import logs, settling
from scheduler_api.database.runs.results import Skipped
from scheduler_api.database.statements import Session
from scheduler_api.schedule import TICK, Future, Reason, Schedule
from scheduler_api.services.jobs.planning import between, schedule_in, written_off

#: What may be computed on the loop; each day off in longer spans would keep it a little longer.
LONG = timedelta(days=366)
#: The newest rows, among which what no row tells of is looked for.
MAX_ROWS = 1000


async def write_off(
    session: Session,
    now: datetime,
    jobid: int,
    future: Future,
    span: tuple[datetime, datetime],
    reason: Reason,
) -> datetime | None:
    """Account for all occurrences of a span, both ends included, as skipped; which one comes next."""
    first, last = span
    if last - first <= LONG:
        rows, following = written_off(jobid, future, first, last, reason)
    else:
        rows, following = await aside_locked(written_off, jobid, future, first, last, reason)
    await skip(session, now, rows, future.schedule)
    return following


async def skip(
    session: Session,
    now: datetime,
    rows: Sequence[Skipped],
    schedule: Schedule | None = None,
    *,
    is_new: bool = True,
    looking: bool = True,
) -> list[int]:
    """Write what did not run, by the schedule that is given, or by that of each job.

    Occurrences may have run already, by a clock that was ahead: then what lies between them gets rows.
    Unless they are new, metrics have counted them before. Gives back the jobs whose next occurrence had a row
    already, which is only found out when `looking`.
    """
    if not rows:
        return []
    conflicts, met = await settling.skip(session, now, rows, looking=looking)
    if is_new:
        session.when_committed(partial(_measure, rows))
    for row in rows:
        if row.logid is None and row.through is not None and (row.jobid, row.first) in met:
            await _skip_between(session, now, row, schedule)
    return conflicts


def _measure(rows: Sequence[Skipped]) -> None:
    """Count what did not run; of occurrences that had a row already, too, which are few."""
    for row in rows:
        metrics.MISSED.labels(row.reason).inc(1 + (row.missed or 0))


async def _skip_between(session: Session, now: datetime, row: Skipped, schedule: Schedule | None) -> None:
    if schedule is None:
        job = await definitions.one(session, row.jobid)
        assert job is not None
        schedule = schedule_in(job)
    known = await logs.rows_since(session, row.jobid, row.first - TICK, MAX_ROWS)
    if parts := between(row, schedule, known):
        await settling.skip(session, now, parts)
