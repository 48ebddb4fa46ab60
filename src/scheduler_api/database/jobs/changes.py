"""Statements on the history of jobs: who changed what, and when."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import any_, bindparam, select

from scheduler_api.actors import Actor
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.access import auditevent
from scheduler_api.database.tables.base import columns


class ChangeRow(NamedTuple):
    """What was done, and by whom."""

    changeid: int
    jobid: int | None
    at: datetime
    action: str
    actor: str
    client: str | None
    address: str | None
    project: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


RECORD = Statement(
    """
    INSERT INTO auditevent (jobid, at, action, actor, client, address, project, before, after)
    VALUES (
        :jobid, :at, :action, :actor, :client, :address,
        coalesce(:project, (SELECT project FROM job WHERE jobid = :jobid)),
        CAST(CAST(:before AS text) AS jsonb), CAST(CAST(:after AS text) AS jsonb)
    )
    """
)
#: Of the next so many changes, those from before the horizon go. The creation of a job stays, and the pause
#: that holds: from these it follows how jobs stood then, and how they stand.
FORGET = Statement(
    """
    WITH seen AS MATERIALIZED (
        SELECT changeid, action, jobid, at < CAST(horizon AS timestamp) AT TIME ZONE 'UTC' AS is_old
        FROM auditevent CROSS JOIN history
        WHERE changeid > :after ORDER BY changeid LIMIT :limit
    ), gone AS (
        DELETE FROM auditevent USING seen
        WHERE auditevent.changeid = seen.changeid AND is_old AND NOT EXISTS (
            SELECT FROM job WHERE job.jobid = seen.jobid
            AND (seen.action = 'created' OR seen.action = 'paused' AND pausedat IS NOT NULL)
        )
    )
    SELECT max(changeid) FROM seen HAVING bool_or(is_old)
    """
)
NEWEST = Statement(
    select(*columns(auditevent, ChangeRow))
    .where(auditevent.c.jobid == bindparam("jobid"), auditevent.c.changeid < bindparam("before"))
    .order_by(auditevent.c.changeid.desc())
    .limit(bindparam("limit")),
    ChangeRow,
)
NEWEST_OF = Statement(
    select(*columns(auditevent, ChangeRow))
    .where(auditevent.c.jobid == bindparam("jobid"), auditevent.c.action == any_(bindparam("actions")))
    .order_by(auditevent.c.changeid.desc())
    .limit(1),
    ChangeRow,
)
#: Those that matter for what was expected of the job, oldest first.
OF_SCHEDULE = Statement(
    select(*columns(auditevent, ChangeRow))
    .where(
        auditevent.c.jobid == bindparam("jobid"),
        auditevent.c.action.in_(["edited", "paused", "resumed", "deleted"]),
    )
    .order_by(auditevent.c.changeid),
    ChangeRow,
)

#: Of everything that was done, newest first.
OF_ALL = Statement(
    """
    SELECT changeid, jobid, at, action, actor, client, address, project, before, after FROM auditevent
    WHERE changeid < :before
      AND (CAST(:actor AS text) IS NULL OR actor = :actor)
      AND (CAST(:client AS text) IS NULL OR client = :client)
      AND (CAST(:address AS text) IS NULL OR address = :address)
      AND (CAST(:project AS text) IS NULL OR project = :project)
      AND (CAST(:actions AS text[]) IS NULL OR action = ANY(:actions))
      AND (CAST(:jobid AS bigint) IS NULL OR jobid = :jobid)
      AND at >= coalesce(CAST(:since AS timestamptz), '-infinity')
      AND at < coalesce(CAST(:until AS timestamptz), 'infinity')
    ORDER BY changeid DESC LIMIT :limit
    """,
    ChangeRow,
)

#: Before what a repair let the job go on with, all is accounted for.
REPAIRED = Statement(
    """
    SELECT least(at, CAST(after ->> 'nextrun' AS timestamptz)) FROM auditevent
    WHERE jobid = :jobid AND action = 'repaired' ORDER BY changeid DESC LIMIT 1
    """
)


ERASE_ACTOR = Statement("UPDATE auditevent SET client = :instead WHERE actor = 'user' AND client = :name")
_CALLED = """
    CASE WHEN {0} ->> 'name' = :name
         THEN {0} || jsonb_build_object('name', CAST(:instead AS text)) ELSE {0} END
"""
ERASE_USER = Statement(
    f"""
    UPDATE auditevent SET before = {_CALLED.format("before")}, after = {_CALLED.format("after")}
    WHERE action IN ('useradded', 'userchanged', 'userremoved', 'linkmade', 'signinrefused')
      AND (before ->> 'name' = :name OR after ->> 'name' = :name)
    """
)


class ChangeFilter(NamedTuple):
    """Which of everything that was done; None: whatever it is."""

    actor: str | None = None
    client: str | None = None
    address: str | None = None
    project: str | None = None
    actions: Sequence[str] | None = None
    jobid: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class Event(NamedTuple):
    """Something that was done: to a job, or where there is none to a limit or the whole service."""

    action: ChangeAction
    jobid: int | None = None
    before: Mapping[str, Any] | None = None
    """What it changed, as it was; values that JSON can hold."""
    after: Mapping[str, Any] | None = None
    """The same, as it is."""
    project: str | None = None
    """Of what is no job."""


async def forget(session: Session, after: int, limit: int) -> int | None:
    """Remove what was changed before the horizon, of `limit` changes behind one; the last of these.

    None: none of them was made before it.
    """
    last: int | None = await session.value(FORGET, after=after, limit=limit)
    return last


async def record(session: Session, now: datetime, actor: Actor, event: Event) -> None:
    """Write down who did what."""
    await session.all(
        RECORD,
        jobid=event.jobid,
        at=now,
        action=event.action,
        actor=actor.kind,
        client=actor.client,
        address=actor.address,
        project=event.project,
        before=None if event.before is None else json.dumps(event.before),
        after=None if event.after is None else json.dumps(event.after),
    )


async def erase(session: Session, name: str, instead: str) -> None:
    """Let events call a user otherwise, in whatever they say of who did it and to whom."""
    await session.all(ERASE_ACTOR, name=name, instead=instead)
    await session.all(ERASE_USER, name=name, instead=instead)


async def newest(session: Session, jobid: int, before: int, limit: int) -> list[ChangeRow]:
    """Up to `limit` changes of the job with a changeid below `before`, newest first."""
    return await session.all(NEWEST, jobid=jobid, before=before, limit=limit)


async def newest_of(session: Session, jobid: int, actions: Sequence[str]) -> ChangeRow | None:
    """The newest change of the job that is one of these; None: there is none."""
    found = await session.all(NEWEST_OF, jobid=jobid, actions=actions)
    return found[0] if found else None


async def of_all(session: Session, wanted: ChangeFilter, before: int, limit: int) -> list[ChangeRow]:
    """Up to `limit` of them with a changeid below `before`, newest first."""
    return await session.all(OF_ALL, before=before, limit=limit, **wanted._asdict())


async def of_schedule(session: Session, jobid: int) -> list[ChangeRow]:
    """The edits, pauses, resumptions and the deletion of the job, oldest first."""
    return await session.all(OF_SCHEDULE, jobid=jobid)


async def repaired(session: Session, jobid: int) -> datetime | None:
    """The first instant that the job's newest repair left open; None: it has had none."""
    found: datetime | None = await session.value(REPAIRED, jobid=jobid)
    return found
