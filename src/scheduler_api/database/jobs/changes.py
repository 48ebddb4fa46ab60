"""Statements on the history of jobs: who changed what, and when."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, select

from scheduler_api.actors import Actor
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables import columns, jobchange


class ChangeRow(NamedTuple):
    """What was done, and by whom."""

    changeid: int
    jobid: int | None
    at: datetime
    action: str
    actor: str
    client: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


RECORD = Statement(
    insert(jobchange)
    .values(
        jobid=bindparam("jobid"),
        at=bindparam("at"),
        action=bindparam("action"),
        actor=bindparam("actor"),
        client=bindparam("client"),
        before=bindparam("before"),
        after=bindparam("after"),
    )
    .inline()
)
NEWEST = Statement(
    select(*columns(jobchange, ChangeRow))
    .where(jobchange.c.jobid == bindparam("jobid"), jobchange.c.changeid < bindparam("before"))
    .order_by(jobchange.c.changeid.desc())
    .limit(bindparam("limit")),
    ChangeRow,
)
#: Those that matter for what was expected of the job, oldest first.
OF_SCHEDULE = Statement(
    select(*columns(jobchange, ChangeRow))
    .where(
        jobchange.c.jobid == bindparam("jobid"),
        jobchange.c.action.in_(["edited", "paused", "resumed", "deleted"]),
    )
    .order_by(jobchange.c.changeid),
    ChangeRow,
)

#: Of everything that was done, newest first.
OF_ALL = Statement(
    """
    SELECT changeid, jobid, at, action, actor, client, before, after FROM jobchange
    WHERE changeid < :before
      AND (CAST(:actor AS text) IS NULL OR actor = :actor)
      AND (CAST(:client AS text) IS NULL OR client = :client)
      AND (CAST(:action AS text) IS NULL OR action = :action)
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
    SELECT least(at, CAST(after ->> 'nextrun' AS timestamptz)) FROM jobchange
    WHERE jobid = :jobid AND action = 'repaired' ORDER BY changeid DESC LIMIT 1
    """
)


class ChangeFilter(NamedTuple):
    """Which of everything that was done; None: whatever it is."""

    actor: str | None = None
    client: str | None = None
    action: str | None = None
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


async def record(session: Session, now: datetime, actor: Actor, event: Event) -> None:
    """Write down who did what."""
    await session.all(
        RECORD,
        jobid=event.jobid,
        at=now,
        action=event.action,
        actor=actor.kind,
        client=actor.client,
        before=None if event.before is None else json.dumps(event.before),
        after=None if event.after is None else json.dumps(event.after),
    )


async def newest(session: Session, jobid: int, before: int, limit: int) -> list[ChangeRow]:
    """Up to `limit` changes of the job with a changeid below `before`, newest first."""
    return await session.all(NEWEST, jobid=jobid, before=before, limit=limit)


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
