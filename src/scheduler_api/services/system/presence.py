"""Which replicas are there: what only newer code may write waits until older ones have gone."""

from datetime import datetime, timedelta

from scheduler_api.database.statements import Session
from scheduler_api.database.system import replicas

#: After so long nobody asks whether a replica that is silent is still there.
FORGOTTEN = timedelta(days=1)


async def arrive(session: Session, now: datetime, name: str, version: int) -> None:
    """A replica, whose code is of that schema version, is there; it says so again and again."""
    await replicas.see(session, name, version, now)
    await replicas.lose_old(session, now - FORGOTTEN)


async def leave(session: Session, _: datetime, name: str) -> None:
    """A replica goes."""
    await replicas.lose(session, name)
