"""Jobs at a glance: what each is doing, and how its newest runs went."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from scheduler_api.contracts.history.timeline import Recent
from scheduler_api.contracts.jobs.job import Condition, JobState, JobSummary
from scheduler_api.database.jobs.lists import LATE
from scheduler_api.web.times import Times
from scheduler_api.wording.instants import milliseconds


def is_overdue(instant: datetime, now: datetime) -> bool:
    """Whether what should have been at an instant is late; a moment is not."""
    return now - instant > LATE


class RunMark(NamedTuple):
    """One run in a strip."""

    kind: str
    """Its status; nothing for what is as it should be."""
    text: str


class Row(NamedTuple):
    """A job in a list."""

    job: JobSummary
    condition: Condition
    zone: str
    """In which its times are shown."""
    marks: Sequence[RunMark]
    summary: str
    """The strip in words."""
    took: str | None
    """How long the newest run took."""


def row_of(job: JobSummary, recent: Sequence[Recent], now: datetime, times: Times) -> Row:
    """A job with its newest runs, oldest first."""
    zone = times.zone(job.timezone)
    last = recent[-1] if recent else None
    took = None if last is None or last.took is None else milliseconds(last.took)
    return Row(job, condition(job, now), zone, _marks(recent, zone), _summary(recent), took)


def condition(job: JobSummary, now: datetime) -> Condition:
    """What a job is doing."""
    if job.state is not JobState.ACTIVE:
        return Condition(job.state.value)
    if job.laststatus == "running":
        return Condition.RUNNING
    if job.nextrun is not None and is_overdue(job.nextrun, now):
        return Condition.OVERDUE
    return Condition.FAILING if job.laststatus == "failed" else Condition.ACTIVE


#: Short, as a page has more than a thousand of them.
KINDS = {"finished": "", "failed": "f", "skipped": "s", "running": "r", "pending": "p"}
SAID = {"finished": "", "pending": "to be retried "}


def _marks(recent: Sequence[Recent], zone: str) -> list[RunMark]:
    clock = ZoneInfo(zone)
    marks = []
    for run in recent:
        took = "" if run.took is None else f", {milliseconds(run.took)}"
        missed = f", {run.missed:,} more" if run.missed else ""
        when = run.scheduledfor.astimezone(clock).strftime("%m-%d %H:%M:%S")
        said = SAID.get(run.status, f"{run.status} ")
        marks.append(RunMark(KINDS.get(run.status, ""), f"{said}{when}{took}{missed}"))
    return marks


def _summary(recent: Sequence[Recent]) -> str:
    counts = Counter("to be retried" if run.status == "pending" else run.status for run in recent)
    said = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"The last {len(recent)} runs, oldest first: {said}" if len(recent) > 1 else f"One run: {said}"
