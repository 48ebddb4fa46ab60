"""What a job's row says of its time: its schedule, what is to come of it, and which rows it lacks."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from scheduler_api.contracts.values import days_of
from scheduler_api.database.jobs.rows import DefinitionRow, ScheduleRow
from scheduler_api.database.runs.logs import LedgerRow, Standing
from scheduler_api.database.runs.pending import LiveLog
from scheduler_api.database.runs.results import Skipped
from scheduler_api.errors import ScheduleUnusable
from scheduler_api.schedule import (
    TICK,
    Definition,
    Fold,
    Future,
    Gap,
    Part,
    Reason,
    Schedule,
    after,
    schedule_of,
    skip_all,
)

#: Spreads consecutive numbers evenly: 2^64 divided by the golden ratio (Knuth, TAOCP 3, section 6.4).
MONITOR = "monitor"
GOLDEN, WORD = 0x9E3779B97F4A7C15, 2**64


def definition_of(row: DefinitionRow) -> Definition:
    """A job row's definition of its schedule."""
    return Definition(
        row.startdate,
        row.starttime,
        row.timezone,
        row.interval,
        row.cron,
        row.until,
        tuple(days_of(text) for text in (*row.exclude, *row.calendardays)),
        Gap(row.dstgap),
        Fold(row.dstfold),
    )


def schedule_in(row: ScheduleRow) -> Schedule:
    """A job row's schedule. Raises ScheduleUnusable."""
    try:
        return computed(row)
    except (ArithmeticError, ValueError) as error:
        raise ScheduleUnusable(f"The job's schedule cannot be computed ({error}); edit it.") from error


def computed(row: ScheduleRow) -> Schedule:
    """The same. Raises ArithmeticError or ValueError where it cannot be computed."""
    return keeping(schedule_of(definition_of(row)), parts_of(row.kept), row.validfrom)


def keeping(schedule: Schedule, parts: Sequence[Part], since: datetime) -> Schedule:
    """The schedule, for what comes after `since` and in parts of the time before; without any, as it is."""
    return schedule._replace(within=(*parts, after(since))) if parts else schedule


def parts_of(ends: Sequence[datetime]) -> tuple[Part, ...]:
    """Parts of time as a row holds them: the first and the last instant of each, in turn."""
    return tuple(Part(*pair) for pair in zip(ends[::2], ends[1::2], strict=True))


class Carried(NamedTuple):
    """The runs that a job goes on with."""

    lastrun: datetime | None
    runs: int | None


def future_of(
    row: ScheduleRow, carried: Standing | LiveLog | Carried, schedule: Schedule | None = None
) -> Future:
    """What is to come of a job's row, after the runs that it has made. Raises ScheduleUnusable."""
    known = schedule_in(row) if schedule is None else schedule
    return Future(known, row.maxruns, carried.runs or 0, carried.lastrun, delay_of(row, row.jobid))


class Delaying(Protocol):
    """What says how long after its time an occurrence is looked at: a row of a job, a draft."""

    @property
    def kind(self) -> str:
        """What its runs do."""
        raise NotImplementedError

    @property
    def grace(self) -> int:
        """Seconds that a report may be late."""
        raise NotImplementedError

    @property
    def jitter(self) -> int:
        """Seconds over which runs are spread."""
        raise NotImplementedError


def delay_of(job: Delaying, jobid: int) -> timedelta:
    """How much later than its time an occurrence is looked at: of a monitor, when its report is overdue."""
    if job.kind == MONITOR:
        return timedelta(seconds=job.grace)
    return spread(jobid, job.jitter)


def spread(jobid: int, jitter: int) -> timedelta:
    """The job's own share of its jitter: the same for each of its runs, and unlike that of others."""
    return timedelta(seconds=(jobid * GOLDEN % WORD) * (jitter + 1) // WORD)


def first_beside(schedule: Schedule, after: datetime, rows: Iterable[LedgerRow]) -> datetime | None:
    """The first occurrence later than `after` that none of the rows tells of."""
    found = schedule.next_after(after)
    for row in sorted(rows, key=lambda row: row.scheduledfor):
        if found is not None and row.scheduledfor <= found <= row.last:
            found = schedule.next_after(row.last)
    return found


def written_off(
    jobid: int, future: Future, first: datetime, last: datetime, reason: Reason
) -> tuple[list[Skipped], datetime | None]:
    """The rows that account for all occurrences from `first` to `last`, and the occurrence that comes next.

    Those that the schedule itself keeps from running get rows of their own.
    """
    rows: list[Skipped] = []
    following = future.admit(first)
    ending = future.lastrun, future.runs
    while following is not None and following <= last:
        fate = skip_all(future.schedule, following, last, reason)
        rows.append(Skipped(jobid, following, str(fate.reason), fate.missed, fate.through, *ending))
        rows += (
            Skipped(jobid, span.first, str(span.block), span.size - 1, span.reaches, *ending)
            for span in fate.blocked
        )
        following = fate.next
    return rows, following


def between(row: Skipped, schedule: Schedule, known: Sequence[LedgerRow]) -> list[Skipped]:
    """A row in parts: one for each stretch of its occurrences of which no other row tells."""
    assert row.through is not None
    parts = list[Skipped]()
    first = first_beside(schedule, row.first - TICK, known)
    while first is not None and first <= row.through:
        following = min((other.scheduledfor for other in known if other.scheduledfor > first), default=None)
        last = row.through if following is None else schedule.last_before(min(following, row.through + TICK))
        assert last is not None
        free, _ = schedule.counts(first, last + TICK)
        parts.append(row._replace(first=first, missed=max(0, free - 1), through=last if free > 1 else None))
        first = first_beside(schedule, last, known)
    return parts
