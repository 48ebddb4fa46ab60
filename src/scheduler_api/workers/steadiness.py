"""Whether a clock can be trusted with what cannot be undone."""

from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog

log = structlog.get_logger(__name__)

#: How much the clocks of two machines may drift apart between looks, and what they may differ by at all.
DRIFT, DIFFERENCE = timedelta(minutes=1), timedelta(days=1)


class SteadyClock:
    """The database's clock, beside those of this machine."""

    def __init__(self, seconds: float) -> None:
        """`seconds` is for how long it has to go on without a step."""
        self._seconds = seconds
        self._since: tuple[float, datetime] | None = None

    def look(self, now: datetime) -> bool:
        """Whether the database's clock, which shows `now`, has gone on evenly for so long.

        It has to agree with this machine's on the day, too.
        """
        elapsed, own = monotonic(), datetime.now(UTC)
        if (
            self._since is None
            or abs(now - self._since[1] - timedelta(seconds=elapsed - self._since[0])) > DRIFT
        ):
            self._since = elapsed, now
        if abs(own - now) > DIFFERENCE:
            log.warning(
                "the clock of the database is not this machine's: days are not closed", at=now, own=own
            )
            return False
        return elapsed - self._since[0] >= self._seconds
