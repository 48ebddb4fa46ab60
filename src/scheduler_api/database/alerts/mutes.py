"""Statements on mutes: times in which alerts are held back."""

from datetime import datetime
from typing import Any, NamedTuple

from scheduler_api.database.statements import Session, Statement


class MuteRow(NamedTuple):
    """A mute, and when it holds next."""

    muteid: int
    project: str | None
    tag: str | None
    jobid: int | None
    since: datetime
    until: datetime
    cron: str | None
    timezone: str
    minutes: int | None
    reason: str
    createdat: datetime
    createdby: str | None


#: Until when an alert is held back that is written now, of a job; null: it is not. To be formatted with an
#: alias of the job.
HOLD = """
    (SELECT max(mute.until) FROM alertmute AS mute
     WHERE mute.since <= :now AND mute.until > :now
       AND (mute.project IS NULL OR mute.project = job.project)
       AND (mute.tag IS NULL OR mute.tag = ANY(job.tags)) AND (mute.jobid IS NULL OR mute.jobid = job.jobid))
"""
_MUTE = """
    SELECT muteid, project, tag, jobid, since, until, cron, timezone, minutes, reason, createdat, createdby
    FROM alertmute
"""
LISTED = Statement(f"{_MUTE} ORDER BY until, muteid", MuteRow)
ONE = Statement(f"{_MUTE} WHERE muteid = :muteid", MuteRow)
ADD = Statement(
    """
    INSERT INTO alertmute (
        project, tag, jobid, since, until, cron, timezone, minutes, reason, createdat, createdby
    ) VALUES (
        :project, :tag, :jobid, :since, :until, :cron, :timezone, :minutes, :reason, :now, :createdby
    )
    RETURNING muteid
    """
)
COUNT = Statement("SELECT count(*) FROM alertmute")
REMOVE = Statement("DELETE FROM alertmute WHERE muteid = :muteid")
# What is held back until then is not held back any longer, unless another mute holds.
RELEASE = Statement(
    f"""
    UPDATE alert SET holduntil = {HOLD} FROM job
    WHERE alert.jobid = job.jobid AND sentat IS NULL AND deadat IS NULL AND holduntil > :now
    """
)
OVER = Statement(f"{_MUTE} WHERE until <= :now ORDER BY muteid FOR UPDATE SKIP LOCKED", MuteRow)
MOVE = Statement("UPDATE alertmute SET since = :since, until = :until WHERE muteid = :muteid")


async def listing(session: Session) -> list[MuteRow]:
    """All mutes, those that end first come first."""
    return await session.all(LISTED)


async def mute(session: Session, muteid: int) -> MuteRow | None:
    """The mute."""
    return await session.one_or_none(ONE, muteid=muteid)


async def add(session: Session, now: datetime, values: dict[str, Any]) -> int:
    """Add a mute; its id."""
    return int(await session.value(ADD, now=now, **values))


async def count(session: Session) -> int:
    """How many mutes there are."""
    return int(await session.value(COUNT))


async def remove(session: Session, now: datetime, muteid: int) -> None:
    """Remove a mute, and let go of what it held back."""
    await session.all(REMOVE, muteid=muteid)
    await session.all(RELEASE, now=now)


async def over(session: Session, now: datetime) -> list[MuteRow]:
    """Mutes whose time is over, locked; those that somebody else holds are left out."""
    return await session.all(OVER, now=now)


async def move(session: Session, muteid: int, since: datetime, until: datetime) -> None:
    """Let a mute hold at another time."""
    await session.all(MOVE, muteid=muteid, since=since, until=until)


async def forget(session: Session, muteid: int) -> None:
    """Remove a mute that is over."""
    await session.all(REMOVE, muteid=muteid)
