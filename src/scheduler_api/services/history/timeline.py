"""What has run: of many jobs at a glance, of one job over time."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from scheduler_api.contracts.history.timeline import (
    Bucket,
    DayTally,
    Recent,
    Tally,
    TimedRun,
    Timeline,
    TimeRange,
)
from scheduler_api.contracts.runs.logs import Log, LogCause, LogStatus
from scheduler_api.database.runs import history, tallies
from scheduler_api.database.statements import Session
from scheduler_api.schedule.days import boundary_after, midnight
from scheduler_api.services.jobs import reading

#: How long each span is, and its stretches.
SPANS = {
    TimeRange.DAY: (timedelta(days=1), timedelta(minutes=30)),
    TimeRange.WEEK: (timedelta(days=7), timedelta(hours=2)),
    TimeRange.MONTH: (timedelta(days=30), timedelta(hours=12)),
}
#: Up to how many seconds between two runs a span shows enough of them.
SUITED = {TimeRange.DAY: 1800, TimeRange.WEEK: 4 * 3600}
#: A timeline counts no more logs than these: a job of every second writes 86,400 a day.
MAX_COUNTED = 100_000
#: How many runs are shown with their durations.
MAX_TIMED = 300
#: How many runs there are to see at a glance.
GLANCE = 60


async def recent(session: Session, jobids: Sequence[int]) -> dict[int, list[Recent]]:
    """The newest runs of each of these jobs, oldest first."""
    found: defaultdict[int, list[Recent]] = defaultdict(list)
    for row in await history.recent(session, jobids, GLANCE):
        found[row.jobid].append(
            Recent.model_construct(
                scheduledfor=row.scheduledfor,
                status=LogStatus(row.status),
                missed=row.missed,
                took=row.took,
            )
        )
    for runs in found.values():
        runs.reverse()
    return found


async def timeline(session: Session, now: datetime, jobid: int, span: TimeRange) -> Timeline:
    """What became of a job's occurrences up to now."""
    length, width = SPANS[span]
    until = boundary_after(now, width)
    since = until - length
    rows = await history.timeline(session, jobid, since, until, width, MAX_COUNTED)
    counts = {row.bucket: row._asdict() for row in rows}
    total = counts.pop(None)
    runs = await history.timed(session, jobid, since, until, MAX_TIMED)
    kept = midnight((await tallies.frontier(session, jobid)).horizon)
    return Timeline(
        span=span,
        since=since,
        until=until,
        width=int(width.total_seconds()),
        buckets=[Bucket(since=since + n * width, **counts.get(n, {})) for n in range(length // width)],
        runs=[TimedRun.model_construct(**run._asdict() | {"status": LogStatus(run.status)}) for run in runs],
        total=Tally(**total),
        complete=total["logs"] < MAX_COUNTED,
        keptsince=kept if kept > since else None,
    )


def usual_span(interval: int | None, logs: Sequence[Log]) -> TimeRange:
    """The time range that suits how often a job runs, by its interval or else by its logs."""
    if interval is None:
        instants = sorted(log.scheduledfor for log in logs if log.cause is LogCause.SCHEDULE)
        if len(instants) < 2:  # noqa: PLR2004 - a distance is between two
            return TimeRange.MONTH
        interval = int((instants[-1] - instants[0]).total_seconds()) // (len(instants) - 1)
    return next((span for span, longest in SUITED.items() if interval <= longest), TimeRange.MONTH)


async def days(session: Session, jobid: int, before: date, limit: int) -> list[DayTally]:
    """Up to `limit` closed days before that one, the newest first. Raises JobNotFound."""
    await reading.get_summary(session, jobid)
    return [DayTally(**row._asdict()) for row in await tallies.of_days(session, jobid, before, limit)]
