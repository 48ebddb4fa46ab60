"""What is to come of a job: its schedule, and how many of its occurrences may run still."""

from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_api.schedule.definition import LAST_INSTANT, Schedule


class Future(NamedTuple):
    """The one answer to what comes next: who asks the schedule itself forgets that `maxruns` bounds it."""

    schedule: Schedule
    maxruns: int | None = None
    runs: int = 0
    """Runs that the schedule has made so far, those that are in progress among them; no others count."""
    lastrun: datetime | None = None
    """When the job ran last, for the rows to come."""
    delay: timedelta = timedelta(0)
    """How much later than its time each occurrence is tried."""

    @property
    def is_spent(self) -> bool:
        """Whether the schedule has made the job run as often as it may."""
        return self.maxruns is not None and self.runs >= self.maxruns

    def admit(self, occurrence: datetime | None) -> datetime | None:
        """The occurrence, if there is one and the job may run again."""
        return None if self.is_spent else occurrence

    def next_after(self, instant: datetime) -> datetime | None:
        """The first occurrence later than `instant` that the job may get to; None: there is none."""
        return self.admit(self.schedule.next_after(instant))

    def tried_at(self, occurrence: datetime) -> datetime:
        """When the row of `occurrence` is to be looked at: as soon as a run may come of it.

        Occurrences that must not run wait for the one after them that may, so that one row tells of all; if
        there is none, for the last of them.
        """
        schedule = self.schedule
        tried = schedule.first_free(occurrence)
        if tried is None:
            end = LAST_INSTANT if schedule.until is None else schedule.until + datetime.resolution
            tried = schedule.last_before(end) or occurrence
        return tried + self.delay

    def ran(self, now: datetime) -> "Future":
        """The same after one more run."""
        return self._replace(runs=self.runs + 1, lastrun=now)
