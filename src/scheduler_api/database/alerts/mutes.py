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


class LiftedMute(NamedTuple):
    """A mute that somebody has removed, until all that it held back is released."""

    muteid: int
    liftedat: datetime
    releasedto: int
    """The last alert that was looked at."""


#: Until when an alert is held back that is written now, of a job; null: it is not. To be formatted with an
#: alias of the job.
HOLD = """
    (SELECT max(mute.until) FROM alertmute AS mute
     WHERE mute.since <= :now AND mute.until > :now AND mute.liftedat IS NULL
       AND (mute.project IS NULL OR mute.project = job.project)
       AND (mute.tag IS NULL OR mute.tag = ANY(job.tags)) AND (mute.jobid IS NULL OR mute.jobid = job.jobid))
"""
_MUTE = """
    SELECT muteid, project, tag, jobid, since, until, cron, timezone, minutes, reason, createdat, createdby
    FROM alertmute
"""
LISTED = Statement(f"{_MUTE} WHERE liftedat IS NULL ORDER BY until, muteid", MuteRow)
ONE = Statement(f"{_MUTE} WHERE muteid = :muteid AND liftedat IS NULL", MuteRow)
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
COUNT = Statement("SELECT count(*) FROM alertmute WHERE liftedat IS NULL")
REMOVE = Statement("DELETE FROM alertmute WHERE muteid = :muteid")
LIFT = Statement("UPDATE alertmute SET liftedat = :now, releasedto = 0 WHERE muteid = :muteid")
LIFTED = Statement(
    """
    SELECT muteid, liftedat, releasedto FROM alertmute WHERE liftedat IS NOT NULL
    ORDER BY muteid FOR UPDATE SKIP LOCKED
    """,
    LiftedMute,
)
#: The same of an alert of no job, but of the service itself.
HOLD_SERVICE = """
    (SELECT max(mute.until) FROM alertmute AS mute
     WHERE mute.since <= :now AND mute.until > :now AND mute.liftedat IS NULL
       AND num_nonnulls(mute.project, mute.tag, mute.jobid) = 0)
"""
# What is held back is not held back any longer, unless another mute holds. A mute of everything holds what is
# of a job, too.
RELEASE = Statement(
    f"""
    WITH held AS (
        SELECT alertid FROM alert
        WHERE sentat IS NULL AND deadat IS NULL AND holduntil > :now AND alertid > :after
        ORDER BY alertid LIMIT :limit FOR NO KEY UPDATE
    ), released AS (
        UPDATE alert SET holduntil = coalesce(
            (SELECT {HOLD} FROM job WHERE job.jobid = alert.jobid), {HOLD_SERVICE}
        )
        FROM held WHERE alert.alertid = held.alertid
    )
    SELECT max(alertid) FROM held HAVING count(*) = :limit
    """
)
RELEASED = Statement("UPDATE alertmute SET releasedto = :alertid WHERE muteid = :muteid")
OVER = Statement(
    f"{_MUTE} WHERE until <= :now AND liftedat IS NULL ORDER BY muteid FOR UPDATE SKIP LOCKED", MuteRow
)
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


async def lift(session: Session, now: datetime, muteid: int) -> None:
    """Let a mute hold nothing any longer; what it holds back already is to be released."""
    await session.all(LIFT, now=now, muteid=muteid)


async def lifted(session: Session) -> list[LiftedMute]:
    """Mutes that were lifted, locked; those that somebody else holds are left out."""
    return await session.all(LIFTED)


async def release(session: Session, now: datetime, muteid: int, after: int, limit: int) -> int | None:
    """Release up to `limit` alerts with an alertid above `after`; where to go on, None: nowhere."""
    last: int | None = await session.value(RELEASE, now=now, after=after, limit=limit)
    await session.all(RELEASED, muteid=muteid, alertid=last or 0)
    return last


async def over(session: Session, now: datetime) -> list[MuteRow]:
    """Mutes whose time is over, locked; those that somebody else holds are left out."""
    return await session.all(OVER, now=now)


async def move(session: Session, muteid: int, since: datetime, until: datetime) -> None:
    """Let a mute hold at another time."""
    await session.all(MOVE, muteid=muteid, since=since, until=until)


async def forget(session: Session, muteid: int) -> None:
    """Remove a mute."""
    await session.all(REMOVE, muteid=muteid)
