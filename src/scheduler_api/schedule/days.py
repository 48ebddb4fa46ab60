"""Days of UTC, by which history is kept, closed and dropped."""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from scheduler_api.schedule.parts import END

#: Before all that can be scheduled, with room for a tick before it.
BEGINNING = datetime(1, 1, 2, tzinfo=UTC)


def midnight(day: date) -> datetime:
    """The instant at which a day begins; of all instants that there are, the first or the last."""
    if day == date.min:
        return BEGINNING
    return END if day == date.max else datetime.combine(day, time(), UTC)


def boundary_after(instant: datetime, width: timedelta) -> datetime:
    """The next multiple of a width, so that stretches stay where they are from one look to the next."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + ((instant - epoch) // width + 1) * width


def utc_day(instant: datetime) -> date:
    """The day of an instant."""
    return instant.astimezone(UTC).date()


class Days(NamedTuple):
    """Days in a row; by default, all."""

    first: date = date.min
    end: date = date.max
    """The day after the last one; `date.max`: they go on, and what is live is of them."""

    @property
    def since(self) -> datetime:
        """The first instant."""
        return midnight(self.first)

    @property
    def until(self) -> datetime:
        """The first instant after them."""
        return midnight(self.end)

    @property
    def go_on(self) -> bool:
        """Whether they have no end."""
        return self.end == date.max
