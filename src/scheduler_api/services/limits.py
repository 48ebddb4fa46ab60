"""Limits on what is under way at once: to a host, or of jobs with a tag."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.contracts import Limit, LimitScope
from scheduler_api.database import promises, targets
from scheduler_api.errors import LimitNotFound


async def listing(session: AsyncSession) -> list[Limit]:
    """All limits, in order."""
    return [Limit.model_validate(dict(row)) for row in await targets.limits(session)]


async def put(session: AsyncSession, _: datetime, scope: LimitScope, name: str, most: int) -> Limit:
    """Set a limit; it holds from the next claim on, for all replicas together."""
    await targets.set_limit(session, scope, name, most)
    await promises.announce(session)
    return Limit(scope=scope, name=name, most=most)


async def remove(session: AsyncSession, _: datetime, scope: LimitScope, name: str) -> None:
    """Lift a limit. Raises LimitNotFound."""
    if not await targets.remove_limit(session, scope, name):
        raise LimitNotFound(f"There is no limit on the {scope} {name}.")
    await promises.announce(session)
