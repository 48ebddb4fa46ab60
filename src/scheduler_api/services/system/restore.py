"""What follows from a restore of the database: somebody is told, and may have to say that it goes on."""

from datetime import datetime, timedelta

from scheduler_api.contracts.system.overview import Issue, IssueKind, Restore
from scheduler_api.database import installation
from scheduler_api.database.statements import Session

#: For how long a restore is told of that nobody confirms.
TOLD = timedelta(days=7)


async def last(session: Session) -> Restore:
    """The newest restore that was noticed."""
    row = await installation.last_restore(session)
    return Restore() if row is None else Restore(**row)


async def confirm(session: Session, now: datetime) -> Restore:
    """Go on after a restore; once confirmed, or without any restore, nothing changes."""
    await installation.confirm(session, now)
    return await last(session)


async def is_awaited(session: Session, _: datetime) -> bool:
    """Whether there was a restore that nobody has confirmed."""
    found = await last(session)
    return found.restoredat is not None and found.confirmedat is None


async def told(session: Session, now: datetime, *, paused: bool) -> list[Issue]:
    """What the overview says of a restore; `paused`: this process waits until it is confirmed."""
    found = await last(session)
    if found.restoredat is None or found.confirmedat is not None:
        return []
    if now - found.restoredat > TOLD and not paused:
        return []
    known = "an unknown time" if found.lastknown is None else f"{found.lastknown:%Y-%m-%d %H:%M:%S} UTC"
    stop = "This replica runs nothing until then." if paused else "Runs continue meanwhile."
    return [
        Issue(
            kind=IssueKind.RESTORED,
            what="The database was restored, or another server has taken over",
            since=found.restoredat,
            why=f"Changes after {known} may be missing. Runs since then are repeated; targets can recognize "
            "them by their webhook-id. New runs and jobs get ids that were never used before.",
            action=f"Review the jobs and repeat lost edits. Then confirm. {stop}",
        )
    ]
