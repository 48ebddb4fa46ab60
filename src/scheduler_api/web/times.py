"""On whose clocks a page shows its times."""

from enum import StrEnum
from typing import NamedTuple

from scheduler_api.schedule import is_zone


class Clock(StrEnum):
    """Whose clocks."""

    JOB = "job"
    MINE = "mine"
    UTC = "utc"


class Times(NamedTuple):
    """What the reader chose."""

    clock: Clock = Clock.JOB
    mine: str | None = None
    """The reader's own zone, as far as the browser has told."""

    def zone(self, jobs: str = "UTC") -> str:
        """The zone to show a time in that has to do with a job in that zone."""
        if self.clock is Clock.MINE and self.mine is not None:
            return self.mine
        # A zone may have gone from the rules of zones since the job was written.
        return jobs if self.clock is Clock.JOB and is_zone(jobs) else "UTC"


def chosen(clock: str | None, mine: str | None) -> Times:
    """What cookies say; what they cannot mean is left out. Unless others were chosen, the reader's own."""
    known = mine if mine is not None and is_zone(mine) else None
    usual = Clock.JOB if known is None else Clock.MINE
    return Times(Clock(clock) if clock is not None and clock in set(Clock) else usual, known)
