"""Whether the database answers, how late the scheduler is, and how many hosts do not answer."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database import claims, hosts
from scheduler_api.database.claims import NextDue

#: What is so late is called overdue.
LATE = timedelta(seconds=5)


async def next_due(session: AsyncSession) -> NextDue:
    """The database's clock, and when the next pending log of a plain job is due."""
    return await claims.next_due(session)


async def clock(session: AsyncSession) -> datetime:
    """The instant that it is by the database's clock."""
    return (await next_due(session)).now


async def lag(session: AsyncSession) -> float:
    """How many seconds the most overdue log has been waiting; 0 if none is overdue."""
    now, due = await claims.oldest(session)
    return 0.0 if due is None else max(0.0, (now - due).total_seconds())


async def hosts_down(session: AsyncSession) -> int:
    """How many hosts do not answer, and are left alone. Which, is for those to see who may see jobs."""
    return await hosts.left_alone(session)
