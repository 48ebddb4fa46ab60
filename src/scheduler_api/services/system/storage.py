"""What the database takes on disk, how fast that grows, and how long there is room for it."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from scheduler_api.contracts.system.overview import Storage
from scheduler_api.database.runs import exports, parts
from scheduler_api.database.runs.exports import Exported
from scheduler_api.database.runs.parts import PartSize
from scheduler_api.database.statements import Session
from scheduler_api.schedule.days import midnight

DAY = timedelta(days=1)
#: Growth is that of so many days at the end; of less than the shortest time, nothing is said.
RECENT, SHORTEST = timedelta(days=14), timedelta(hours=6)


async def measure(
    session: Session, now: datetime, keep: timedelta | None, free: int | None, *, exported: bool = False
) -> Storage:
    """How much there is.

    `keep` is how long history is kept, None: for ever; `exported`, whether it is kept until it has been
    exported, too; `free`, the bytes that are left on its disk.
    """
    size = await parts.size(session)
    sizes = await parts.sizes(session)
    growth = _growth(now, size.begin, sizes)
    done = await exports.exported(session)
    waiting = exported and keep is not None and _waits(now, keep, done, sizes)
    return Storage(
        bytes=size.bytes,
        history=sum(part.bytes for part in sizes),
        growth=growth,
        keepdays=keep and keep.days,
        horizon=None if size.horizon == date.min else size.horizon,
        exportedto=None if done.exportedto == date.min else done.exportedto,
        waiting=sizes[0].first if waiting else None,
        free=free,
        # What waits to be exported is kept for as long as it takes.
        fullin=_full_in(now, None if waiting else keep, growth, _first(size.begin, sizes), free),
    )


def _waits(now: datetime, keep: timedelta, done: Exported, sizes: Sequence[PartSize]) -> bool:
    """Whether the oldest part is closed and old enough, and there only as it has not been exported."""
    end = sizes[0].end
    # What goes is looked for every minute, on a machine that is at rest; a day later it is worth a word.
    return done.exportedto < end <= done.closedto and now - midnight(end) > keep + parts.MARGIN + DAY


def _first(begin: datetime | None, sizes: Sequence[PartSize]) -> datetime | None:
    """Since when there has been something to keep."""
    if begin is None or not sizes:
        return None
    return max(begin, midnight(sizes[0].first))


def _growth(now: datetime, begin: datetime | None, sizes: Sequence[PartSize]) -> int | None:
    """Bytes a day, of what was added of late."""
    if begin is None:
        return None
    recent = [part for part in sizes if now - RECENT < midnight(part.end) and midnight(part.first) < now]
    spans = [min(midnight(part.end), now) - max(midnight(part.first), begin) for part in recent]
    # What was added before the first job that is known is not of its time.
    added = [(part.bytes, span) for part, span in zip(recent, spans, strict=True) if span > timedelta(0)]
    time = sum((span for _, span in added), timedelta(0))
    return None if time < SHORTEST else int(sum(size for size, _ in added) / (time / DAY))


def _full_in(
    now: datetime, keep: timedelta | None, growth: int | None, first: datetime | None, free: int | None
) -> float | None:
    """Days until the disk is full; None: it will not be, or that is not known."""
    if free is None or not growth or first is None:
        return None
    # Once the oldest part goes as often as a new one is begun, nothing grows.
    left = None
    if keep is not None:
        left = (keep + parts.MARGIN + parts.days_of_part(keep) * DAY - (now - first)) / DAY
    if left is not None and left * growth <= free:
        return None
    return free / growth
