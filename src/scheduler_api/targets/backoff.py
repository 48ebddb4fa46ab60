"""How long to wait before the next attempt."""

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: The longest pause, in seconds, that a target can ask for: a day.
MAX_RETRY_AFTER = 86400.0

#: 2.0 to this power is a float still.
_MAX_DOUBLINGS = 1000
#: More digits than these are more seconds than there are in the calendar.
_MOST_DIGITS = 12


def pause(attempt: int, base: float, cap: float, share: float) -> float:
    """Seconds to wait after the attempt of this number, the first being 1.

    The most that can be is `base`, doubled with each attempt, up to `cap`; of it this is `share`, which
    the caller draws from [0, 1), so that those who failed together do not come back together.
    """
    doublings = min(max(attempt - 1, 0), _MAX_DOUBLINGS)
    return share * min(cap, base * 2.0**doublings)


def retry_after(header: str | None, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, or infinity; None: nothing that can be read."""
    text = (header or "").strip()
    if re.fullmatch("[0-9]+", text):
        digits = text.lstrip("0") or "0"
        return math.inf if len(digits) > _MOST_DIGITS else float(digits)
    # The parser of dates takes much that is none.
    if not re.fullmatch(r"[A-Za-z]{3,9},? [\x20-\x7e]{8,40}", text):
        return None
    try:
        until = parsedate_to_datetime(text)
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        seconds = (until - now).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(seconds, 0.0)
