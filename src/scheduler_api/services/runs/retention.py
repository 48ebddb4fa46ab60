"""History in parts, which are made ahead, and go in the end, by whichever replica comes first."""

from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from scheduler_api.database.runs import exports, parts
from scheduler_api.database.statements import Session
from scheduler_api.schedule.days import utc_day

log = structlog.get_logger(__name__)

#: The most days of a part: of one that makes up for a long absence. Only a clock that is ahead asks for more.
MAX_DAYS = 28
#: For so many days ahead there are parts, so that one that cannot be made is noticed in time.
AHEAD = timedelta(days=7)
#: Without the newest parts, nothing could settle.
MIN_PARTS = 3
#: Rows that are moved in one transaction.
SWEEP_BATCH = 1000


class Keep(NamedTuple):
    """How long history is kept."""

    time: timedelta | None
    """None: for ever."""
    exported: bool = False
    """Whether it is also kept until it has been exported."""


FOR_EVER = Keep(None)


async def extend(session: Session, now: datetime, keep: Keep) -> bool:
    """Add a part to history, where there is none for the days to come; whether one was added.

    Without it, what settles is kept in the newest part: no run waits for one.
    """
    needed = utc_day(now + AHEAD)
    if (await parts.held(session)).lastday >= needed or not await parts.try_turn(session):
        return False
    # Another may have added it before it let go of the turn.
    first = (await parts.held(session)).lastday + timedelta(days=1)
    if first > needed:
        return False
    days = min(max(parts.days_of_part(keep.time), (needed - first).days + 1), MAX_DAYS)
    await parts.add(session, first, days)
    log.info("a part of history was added", first=str(first), days=days)
    return True


async def forget(session: Session, now: datetime, keep: Keep) -> bool:
    """Let the oldest part go, if all of its days are closed and have been over for as long as is kept.

    Its tables are still there: see `drops`. Whether one goes.
    """
    if keep.time is None:
        return False
    found = await parts.firsts(session)
    if len(found) < MIN_PARTS or not await parts.try_turn(session):
        return False
    end, done = found[1], await exports.exported(session)
    may_go = min(done.closedto, utc_day(now - keep.time - parts.MARGIN))
    if end > (min(may_go, done.exportedto) if keep.exported else may_go):
        return False
    # Another may have let it go before it gave up the turn.
    if (await parts.held(session)).firstday >= end:
        return False
    await parts.forget(session, found[0], end)
    log.info("history has a new horizon", first=str(end), gone=str(found[0]))
    return True


async def drops(session: Session) -> list[str]:
    """What is left to do for parts that are gone: commands, each to be run by itself, in order.

    None of them keeps anybody from the tables, but where Citus distributes them: it knows no other way.
    """
    commands = []
    gently = not await parts.is_spread(session)
    for name, parent, pending in await parts.gone(session):
        if parent is not None:
            how = (" FINALIZE" if pending else " CONCURRENTLY") if gently else ""
            commands.append(f"ALTER TABLE {parent} DETACH PARTITION {name}{how}")
        commands.append(f"DROP TABLE {name}")
    return commands


async def dropped(session: Session, _: datetime) -> None:
    """All that `drops` gave has been done."""
    await parts.have_left(session)


async def sweep(session: Session, now: datetime) -> bool:
    """Move what was settled ahead of its time, and is over, into history; whether there may be more."""
    return await parts.sweep(session, now, SWEEP_BATCH) == SWEEP_BATCH
