"""Whether the database answers, how late the scheduler is, and how many hosts do not answer."""

from datetime import datetime
from typing import NamedTuple

from scheduler_api.database.runs import breakers, passes, shares
from scheduler_api.database.runs.passes import BEGINNING, NextDue
from scheduler_api.database.statements import Session

#: Calls that wait are counted up to this.
MAX_COUNTED = 1000


class Waiting(NamedTuple):
    """The calls that are due and have not begun."""

    calls: int
    """How many, counted up to MOST_COUNTED."""
    since: datetime | None
    """When the first of them was due; None: none waits."""


async def next_due(session: Session, floor: datetime = BEGINNING) -> NextDue:
    """The database's clock, and when the next pending log of a plain job is due, from `floor` on."""
    return await passes.next_due(session, floor)


async def clock(session: Session) -> datetime:
    """The instant that it is by the database's clock."""
    return (await next_due(session)).now


async def lag(session: Session) -> float:
    """How many seconds the most overdue log has been waiting; 0 if none is overdue."""
    now, due = await passes.oldest(session)
    return 0.0 if due is None else max(0.0, (now - due).total_seconds())


async def hosts_down(session: Session) -> int:
    """How many hosts do not answer, and are left alone. Which, is for those to see who may see jobs."""
    return await breakers.left_alone(session)


async def waiting(session: Session, now: datetime) -> Waiting:
    """The calls that are due and have not begun, whatever they wait for.

    Where a replica's deliverer is `crowded`, some of them wait for a place of it, and not for a limit.
    """
    return Waiting(*await shares.waiting(session, now, MAX_COUNTED))
