"""History in parts, which are made ahead by whichever replica comes first."""

from datetime import UTC, datetime, timedelta

import structlog

from scheduler_api.database.runs import parts
from scheduler_api.database.statements import Session

log = structlog.get_logger(__name__)

#: Days of a part; and of one that makes up for a long absence. Only a clock that is ahead asks for more.
PART_DAYS, MAX_DAYS = 7, 28
#: For so many days ahead there are parts, so that one that cannot be made is noticed in time.
AHEAD = timedelta(days=7)
#: Rows that are moved in one transaction.
SWEEP_BATCH = 1000


async def extend(session: Session, now: datetime) -> bool:
    """Add a part to history, where there is none for the days to come; whether one was added.

    Without it, what settles is kept in the newest part: no run waits for one.
    """
    needed = (now + AHEAD).astimezone(UTC).date()
    if (await parts.held(session)).lastday >= needed or not await parts.try_turn(session):
        return False
    # Another may have added it before it let go of the turn.
    first = (await parts.held(session)).lastday + timedelta(days=1)
    if first > needed:
        return False
    days = min(max(PART_DAYS, (needed - first).days + 1), MAX_DAYS)
    await parts.add(session, first, days)
    log.info("a part of history was added", first=str(first), days=days)
    return True


async def sweep(session: Session, now: datetime) -> bool:
    """Move what was settled ahead of its time, and is over, into history; whether there may be more."""
    return await parts.sweep(session, now, SWEEP_BATCH) == SWEEP_BATCH
