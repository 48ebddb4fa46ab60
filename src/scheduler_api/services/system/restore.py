"""What follows from a restore of the database: it is shown, and may have to be confirmed."""

from datetime import datetime, timedelta

from scheduler_api.actors import Actor
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.system.overview import Issue, Restore
from scheduler_api.database import installation
from scheduler_api.database.jobs import changes
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.wording import issues

#: How long an unconfirmed restore is shown.
SHOWN = timedelta(days=7)


async def last(session: Session) -> Restore:
    """The newest restore that was noticed."""
    row = await installation.last_restore(session)
    return Restore() if row is None else Restore(**row._asdict())


async def confirm(session: Session, now: datetime, actor: Actor) -> Restore:
    """Confirm a restore; once confirmed, or without any restore, nothing changes."""
    if await is_awaited(session, now):
        await installation.confirm(session, now)
        await changes.record(session, now, actor, Event(ChangeAction.RESTORE_CONFIRMED))
    return await last(session)


async def is_awaited(session: Session, _: datetime) -> bool:
    """Whether there was a restore that nobody has confirmed."""
    found = await last(session)
    return found.restoredat is not None and found.confirmedat is None


async def issue_of(session: Session, now: datetime, *, paused: bool) -> list[Issue]:
    """What the overview says of a restore; `paused`: this process waits until it is confirmed."""
    found = await last(session)
    if found.restoredat is None or found.confirmedat is not None:
        return []
    if now - found.restoredat > SHOWN and not paused:
        return []
    return [issues.restored(found, paused=paused)]
