"""Mutes: alerts are held back meanwhile, and what is still wrong when they end is told then."""

from datetime import datetime, timedelta

from scheduler_api.actors import Actor
from scheduler_api.contracts.alerts.mutes import Mute, MuteDraft
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.access import projects
from scheduler_api.database.alerts import mutes
from scheduler_api.database.alerts.mutes import MuteRow
from scheduler_api.database.jobs import changes, definitions
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, MuteNotFound
from scheduler_api.schedule import Definition, schedule_of
from scheduler_api.wording import alerts as words

#: How many there may be: each alert is compared with all.
MAX_MUTES = 200
#: How many alerts are released at once; and for how long those are released that were written meanwhile.
BATCH, MEANWHILE = 5000, timedelta(minutes=1)


async def listing(session: Session) -> list[Mute]:
    """All mutes, those that end first come first."""
    return [_mute(row) for row in await mutes.listing(session)]


def _mute(row: MuteRow) -> Mute:
    return Mute.model_validate(row._asdict() | {"words": words.mute_in_words(row)})


async def add(session: Session, now: datetime, actor: Actor, draft: MuteDraft) -> Mute:
    """Hold alerts back for a while. Raises InvalidInput.

    Those that wait already are sent.
    """
    if await mutes.count(session) >= MAX_MUTES:
        raise InvalidInput(FieldError((), f"There are {MAX_MUTES} mutes. Remove one first."))
    if draft.project is not None and not await projects.known(session, [draft.project]):
        raise InvalidInput(FieldError(("project",), "There is no such project."))
    if draft.jobid is not None and await definitions.share(session, draft.jobid) is None:
        raise InvalidInput(FieldError(("jobid",), "There is no such job."))
    since, until = _span(now, draft)
    values = draft.scope | {
        "since": since,
        "until": until,
        "cron": draft.cron,
        "timezone": draft.timezone,
        "minutes": draft.minutes,
        "reason": draft.reason,
        "createdby": actor.client,
    }
    row = await mutes.mute(session, await mutes.add(session, now, values))
    assert row is not None
    said = {"mute": words.mute_in_words(row)}
    await changes.record(session, now, actor, Event(ChangeAction.MUTE_ADDED, after=said))
    return _mute(row)


def _span(now: datetime, draft: MuteDraft) -> tuple[datetime, datetime]:
    """When a mute holds first. Raises InvalidInput."""
    if draft.cron is not None and draft.minutes is not None:
        found = _window(now, draft.cron, draft.timezone, timedelta(minutes=draft.minutes))
        if found is None:
            raise InvalidInput(FieldError(("cron",), "Has no occurrence to come."))
        return found
    assert draft.until is not None
    since = now if draft.since is None else draft.since
    if draft.until <= max(since, now):
        raise InvalidInput(FieldError(("until",), "Must be in the future, and later than `since`."))
    return since, draft.until


def _window(now: datetime, cron: str, zone: str, length: timedelta) -> tuple[datetime, datetime] | None:
    """The window that is open, or the next one; None: there is none."""
    first = schedule_of(Definition(None, None, zone, cron=cron)).next_after(now - length)
    return None if first is None else (first, first + length)


async def remove(session: Session, now: datetime, actor: Actor, muteid: int) -> None:
    """Hold nothing back any longer. Raises MuteNotFound."""
    row = await mutes.mute(session, muteid)
    if row is None:
        raise MuteNotFound(muteid)
    await mutes.lift(session, now, muteid)
    await mutes.release(session, now, muteid, 0, BATCH)
    said = {"mute": words.mute_in_words(row)}
    await changes.record(session, now, actor, Event(ChangeAction.MUTE_REMOVED, before=said))


async def go_on_releasing(session: Session, now: datetime) -> None:
    """Release more of what lifted mutes hold back; those go that hold nothing any longer."""
    for mute in await mutes.lifted(session):
        further = await mutes.release(session, now, mute.muteid, mute.releasedto, BATCH)
        if further is None and not now - MEANWHILE < mute.liftedat <= now:
            await mutes.forget(session, mute.muteid)


async def move_on(session: Session, now: datetime) -> None:
    """Let mutes whose time is over hold at their next one; those that have none go."""
    for row in await mutes.over(session, now):
        found = None
        if row.cron is not None and row.minutes is not None:
            found = _window(now, row.cron, row.timezone, timedelta(minutes=row.minutes))
        if found is None:
            await mutes.forget(session, row.muteid)
        else:
            await mutes.move(session, row.muteid, *found)
