"""Whether the database answers, and how late the scheduler is."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database import claims


async def next_due(session: AsyncSession) -> tuple[datetime, datetime | None]:
    """The database's clock, and when the next pending log is due; None: nothing is pending."""
    return await claims.next_due(session)


async def lag(session: AsyncSession) -> float:
    """How many seconds the most overdue log has been waiting; 0 if none is overdue."""
    now, due = await next_due(session)
    return 0.0 if due is None else max(0.0, (now - due).total_seconds())
