"""Whether the database answers, and how late the scheduler is."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database import claims
from scheduler_api.database.claims import NextDue


async def next_due(session: AsyncSession) -> NextDue:
    """The database's clock, when the next pending log is due, and when the next pause ends."""
    return await claims.next_due(session)


async def clock(session: AsyncSession) -> datetime:
    """The instant that it is by the database's clock."""
    return (await next_due(session)).now


async def lag(session: AsyncSession) -> float:
    """How many seconds the most overdue log has been waiting; 0 if none is overdue."""
    found = await next_due(session)
    return 0.0 if found.due is None else max(0.0, (found.now - found.due).total_seconds())
