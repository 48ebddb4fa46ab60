"""What was slow in a week, what slower than usual, and what failed most."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from scheduler_api.contracts.history.performance import JobPerformance, Performance, PerformanceSort
from scheduler_api.database.runs import performance
from scheduler_api.database.runs.performance import PerformanceRow
from scheduler_api.database.statements import Session
from scheduler_api.schedule.days import utc_day

DAY, WEEK, EARLIER = timedelta(days=1), timedelta(days=7), timedelta(days=28)
#: So many jobs are looked at; of more, each of so many. And rows of days that are not counted yet.
MAX_JOBS, MAX_ROWS = 5000, 30_000


async def of_week(
    session: Session,
    now: datetime,
    until: date | None,
    sort: PerformanceSort,
    limit: int,
    projects: Sequence[str] | None,
) -> Performance:
    """Up to `limit` jobs by how they did in the seven days before `until`; None: up to today."""
    end = utc_day(now) + DAY if until is None else until
    since = end - WEEK
    every = -(-await performance.count_there(session, projects) // MAX_JOBS) or 1
    rows = await performance.of_week(
        session, since - EARLIER, since, end, sort, every, MAX_ROWS, limit, projects
    )
    jobs = [_shown(row) for row in rows]
    looked_at = rows[0].looked_at if rows else 0
    return Performance(since=since, until=end, every=every, complete=looked_at < MAX_ROWS, jobs=jobs)


def _shown(row: PerformanceRow) -> JobPerformance:
    values = row._asdict()
    del values["looked_at"]
    return JobPerformance.model_construct(**values)
