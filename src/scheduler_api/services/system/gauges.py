"""Metrics of the whole installation, as the database knows them: all replicas tell the same."""

from collections.abc import Sequence
from typing import NamedTuple

from scheduler_api.database.alerts import issues, outbox
from scheduler_api.database.runs import parts
from scheduler_api.database.statements import Session
from scheduler_api.database.system import gauges, overview
from scheduler_api.database.system.gauges import JobCounts, JobSeries

#: Issues are counted up to so many.
MAX_COUNTED = 10_000


class Gauges(NamedTuple):
    """What the installation has to do, and has."""

    due: int
    """Runs that are due and have not begun."""
    running: int
    lag: float
    """Seconds since the first of what is due was due."""
    jobs: JobCounts
    replicas: int
    issues: int
    """Issues of jobs that are open, counted up to 10,000."""
    outbox: float
    """Seconds that the oldest alert has been waiting."""


class Sizes(NamedTuple):
    """What the installation takes on disk."""

    bytes: int
    """Of the whole database."""
    history: int
    """Bytes of it that history takes."""


async def measure(session: Session) -> Gauges:
    """What there is at the moment."""
    work = await gauges.work(session)
    lag = 0.0 if work.oldest is None else (work.now - work.oldest).total_seconds()
    return Gauges(
        due=work.due,
        running=work.running,
        lag=max(0.0, lag),
        jobs=await gauges.jobs(session),
        replicas=len(await overview.replicas(session)),
        issues=sum((await issues.count_by_project(session, MAX_COUNTED)).values()),
        outbox=await outbox.age(session),
    )


async def sizes(session: Session) -> Sizes:
    """What it takes on disk; that takes a while where it is much."""
    return Sizes((await parts.size(session)).bytes, sum(part.bytes for part in await parts.sizes(session)))


async def series(
    session: Session, tag: str | None, limit: int, projects: Sequence[str] | None
) -> list[JobSeries]:
    """How each of up to `limit` jobs does: of a tag, or of all; of these projects, or of all."""
    return await gauges.series(session, tag, limit, projects)
