"""What becomes of an occurrence that is due, and of those that passed while nobody looked.

A misfire is an occurrence found late, whatever the reason: the service was down, the job was paused,
or its previous run took longer than its interval. Every policy accounts for each occurrence: the
verdict of this one, the number of later ones that it stands for, and the one that comes next.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from scheduler_api.schedule.cadence import Cadence, Once, next_after


class Misfire(StrEnum):
    """What to do with occurrences that are found late."""

    ONCE = "once"
    """Run once for all that were missed, then go on with the next future one."""
    ALL = "all"
    """Run each of them, in order."""
    SKIP = "skip"
    """Run none that is later than the grace period; say so in the ledger."""


class Verdict(StrEnum):
    """How an occurrence ended."""

    FINISHED = "finished"
    FAILED = "failed"
    SKIPPED = "skipped"


class Plan(NamedTuple):
    """What to write down for a due occurrence."""

    verdict: Verdict
    missed: int
    """How many further occurrences this one stands for."""
    next: datetime | None
    """The occurrence to promise now; it may be due already. None: the schedule is over."""


def plan(cadence: Cadence, occurrence: datetime, now: datetime, misfire: Misfire, grace: timedelta) -> Plan:
    """Decide the fate of `occurrence`, which is on the cadence's grid and not after `now`.

    `grace` is how late an occurrence may be before the policy `skip` drops it; the others ignore it.
    """
    if misfire is Misfire.ONCE:
        return _jump(Verdict.FINISHED, cadence, occurrence, now)
    # `skip` drops what is later than grace: now - occurrence > grace.
    horizon = now - grace
    if misfire is Misfire.SKIP and occurrence < horizon:
        return _jump(Verdict.SKIPPED, cadence, occurrence, horizon - datetime.resolution)
    return Plan(Verdict.FINISHED, 0, next_after(cadence, occurrence))


def _jump(verdict: Verdict, cadence: Cadence, occurrence: datetime, horizon: datetime) -> Plan:
    """Account for all occurrences from this one to `horizon` with one verdict, without a loop."""
    if isinstance(cadence, Once):
        return Plan(verdict, 0, None)
    missed = (horizon - occurrence) // cadence.interval
    try:
        return Plan(verdict, missed, occurrence + (missed + 1) * cadence.interval)
    except OverflowError:
        return Plan(verdict, missed, None)
