"""What becomes of an occurrence that is due, and of those that passed while nobody looked.

A misfire is an occurrence found late, whatever the reason: the service was down, the job was paused,
or its previous run took longer than its interval. Every policy accounts for each occurrence: the
verdict of this one, the number of later ones that it stands for, those that the schedule's own rules
keep from running, and the one that comes next.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from scheduler_api.schedule.cadence import Every, Once
from scheduler_api.schedule.definition import BlockedSpan, Schedule

#: The most occurrences of a job that are run one by one to catch up: more would be a storm.
MAX_CAUGHT_UP = 1000


class Misfire(StrEnum):
    """What to do with missed runs."""

    ONCE = "once"
    """Run once for all that were missed, then go on with the next future one."""
    ALL = "all"
    """Run each of them, in order; of more than a thousand, the newest thousand."""
    SKIP = "skip"
    """Run none that is later than the grace period; say so in the ledger."""


class Status(StrEnum):
    """How an occurrence ended."""

    FINISHED = "finished"
    FAILED = "failed"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Why an occurrence was skipped."""

    MISFIRE = "misfire"
    PAUSED = "paused"
    EXCLUDED = "excluded"
    OVERLAP = "overlap"
    DST_GAP = "dst-gap"
    UNTIL = "until"
    SUPERSEDED = "superseded"
    DELETED = "deleted"
    REQUEST = "request"
    CANCELLED = "cancelled"
    UNREPORTED = "unreported"


class Decision(NamedTuple):
    """What to write down for a due occurrence."""

    status: Status
    reason: Reason | None
    missed: int
    """How many further occurrences this one stands for."""
    through: datetime | None
    """The last of them; None: none."""
    next: datetime | None
    """The occurrence that comes next; it may be due already. None: the schedule is over."""
    blocked: tuple[BlockedSpan, ...] = ()
    """Occurrences in between that must not run, to be skipped in rows of their own."""


def decide(
    schedule: Schedule, occurrence: datetime, now: datetime, misfire: Misfire, grace: timedelta
) -> Decision:
    """Decide the fate of `occurrence`, which the schedule calls for and which is not after `now`.

    `grace` is how late an occurrence may be before the policy `skip` drops it, and before one that
    the schedule's end has overtaken is dropped.
    """
    horizon = now - grace
    if not schedule.is_plain:
        if schedule.block(occurrence) is not None:
            return _skip_blocked(schedule, occurrence, now)
        if schedule.until is not None and schedule.until < horizon:
            return _account(schedule, Status.SKIPPED, Reason.UNTIL, occurrence, schedule.until)
    if misfire is Misfire.ONCE:
        return _account(schedule, Status.FINISHED, None, occurrence, now)
    # `skip` drops what is later than grace: now - occurrence > grace.
    if misfire is Misfire.SKIP and occurrence < horizon:
        return _account(schedule, Status.SKIPPED, Reason.MISFIRE, occurrence, horizon - datetime.resolution)
    # So many occurrences take at least as many seconds.
    if misfire is Misfire.ALL and now - occurrence >= timedelta(seconds=MAX_CAUGHT_UP):
        last = _last_to_drop(schedule, occurrence, now)
        if last is not None:
            return _account(schedule, Status.SKIPPED, Reason.MISFIRE, occurrence, last)
    return Decision(Status.FINISHED, None, 0, None, schedule.next_after(occurrence))


def _last_to_drop(schedule: Schedule, occurrence: datetime, now: datetime) -> datetime | None:
    """The last occurrence with as many behind it, up to now, as are caught up; None: there are no more."""
    behind = now + datetime.resolution
    if schedule.count_between(occurrence, behind) <= MAX_CAUGHT_UP:
        return None
    # Looking back, ever further, for where too many come after; then halving in between. So the time in which
    # they are counted is no longer than it has to be, however long nobody looked.
    early, step = behind, timedelta(seconds=MAX_CAUGHT_UP)
    while early > occurrence and schedule.count_between(early, behind) <= MAX_CAUGHT_UP:
        early, step = max(occurrence, early - step), 2 * step
    late = behind
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if schedule.count_between(middle, behind) > MAX_CAUGHT_UP:
            early = middle
        else:
            late = middle
    return schedule.last_before(late)


def skip_all(schedule: Schedule, occurrence: datetime, last: datetime, reason: Reason) -> Decision:
    """Account for `occurrence` and all that follow up to `last` as skipped for `reason`."""
    if schedule.block(occurrence) is not None:
        return _skip_blocked(schedule, occurrence, last)
    return _account(schedule, Status.SKIPPED, reason, occurrence, last)


def _account(
    schedule: Schedule, status: Status, reason: Reason | None, occurrence: datetime, last: datetime
) -> Decision:
    """One decision for all that may run from `occurrence`, which may, to `last`; those that may not apart."""
    if schedule.is_plain and isinstance(schedule.cadence, Every):
        return _account_evenly(schedule.cadence, status, reason, occurrence, last)
    if schedule.is_plain and schedule.cadence == Once(occurrence):
        return Decision(status, reason, 0, None, None)
    # Nearly every run is in time, and stands for no other.
    following = schedule.next_after(occurrence)
    if following is None or following > last:
        return Decision(status, reason, 0, None, following)
    spans = list(schedule.spans(occurrence, last))
    free = [span for span in spans if span.block is None]
    missed = sum(span.size for span in free) - 1
    through = free[-1].last if missed else None
    blocked = tuple(span for span in spans if span.block is not None)
    return Decision(status, reason, missed, through, schedule.next_after(spans[-1].last), blocked)


def _account_evenly(
    cadence: Every, status: Status, reason: Reason | None, occurrence: datetime, last: datetime
) -> Decision:
    """The same where nothing is blocked: a pass plans thousands of these."""
    missed = (last - occurrence) // cadence.interval
    through = occurrence + missed * cadence.interval
    try:
        following = through + cadence.interval
    except OverflowError:
        following = None
    return Decision(status, reason, missed, through if missed else None, following)


def _skip_blocked(schedule: Schedule, occurrence: datetime, now: datetime) -> Decision:
    span = next(schedule.spans(occurrence, max(now, occurrence)))
    assert span.block is not None
    through = span.last if span.size > 1 else None
    next_one = schedule.next_after(span.last)
    return Decision(Status.SKIPPED, Reason(span.block), span.size - 1, through, next_one)
