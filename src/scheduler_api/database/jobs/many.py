"""Statements on jobs, however many: their locks, without waiting for anybody, and their states."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import any_, bindparam, select, update

from scheduler_api.actors import Actor
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.jobs.rows import StateRow
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.jobs import job

_THERE = (job.c.jobid == any_(bindparam("jobids")), job.c.removedat.is_(None), job.c.deletedat.is_(None))
LOCK = Statement(
    select(*columns(job, StateRow))
    .where(*_THERE)
    .order_by(job.c.jobid)
    .with_for_update(key_share=True, skip_locked=True),
    StateRow,
)
SHARE = Statement(
    select(job.c.jobid)
    .where(*_THERE, job.c.kind != "monitor")
    .order_by(job.c.jobid)
    .with_for_update(read=True, skip_locked=True)
)
PAUSE = Statement(
    """
    UPDATE job
    SET active = false, pausedat = :now, pausereason = :reason, pauseduntil = :until, pauseid = :pauseid,
        resumefrom = wanted.resumefrom, version = version + 1
    FROM unnest(CAST(:jobids AS bigint[]), CAST(:resumefroms AS timestamptz[])) AS wanted (jobid, resumefrom)
    WHERE job.jobid = wanted.jobid AND job.jobid = ANY(:jobids)
    """
)
NOT_PAUSED = dict.fromkeys(("pausedat", "pausereason", "pauseduntil", "pauseid", "resumefrom"))
RESUME = Statement(
    update(job)
    .where(job.c.jobid == any_(bindparam("jobids")))
    .values(
        NOT_PAUSED
        | {"active": bindparam("active"), "watchedfrom": bindparam("now"), "version": job.c.version + 1}
    )
)
# That a job was paused, why and until when, it is still when it comes back.
BURY = Statement(
    update(job)
    .where(job.c.jobid == any_(bindparam("jobids")))
    .values(
        {
            "active": False,
            "resumefrom": None,
            "deletedat": bindparam("now"),
            "version": job.c.version + 1,
        }
    )
)
# What runs after another job has nothing to make up for of the time before.
RESTORE = Statement(
    """
    UPDATE job
    SET deletedat = NULL, active = :active, version = version + 1, watchedfrom = :now,
        pausedat = CASE WHEN :paused THEN pausedat END, pausereason = CASE WHEN :paused THEN pausereason END,
        pauseduntil = CASE WHEN :paused THEN pauseduntil END, pauseid = CASE WHEN :paused THEN pauseid END,
        resumefrom = CASE WHEN :paused THEN CAST(:first AS timestamptz) END,
        validfrom = CASE WHEN afterjobid IS NULL THEN validfrom ELSE :now END
    WHERE jobid = :jobid
    """
)
FOLLOWED = Statement(
    select(job.c.afterjobid)
    .where(job.c.afterjobid == any_(bindparam("jobids")), job.c.deletedat.is_(None))
    .distinct()
)
RECORD = Statement(
    """
    INSERT INTO auditevent (jobid, at, action, actor, client, address, project, after)
    SELECT jobid, :now, :action, :actor, :client, :address, job.project, CAST(done.after AS jsonb)
    FROM unnest(CAST(:jobids AS bigint[]), CAST(:afters AS text[])) AS done (jobid, after)
    LEFT JOIN job USING (jobid)
    ORDER BY jobid
    """
)


async def lock(session: Session, jobids: Sequence[int]) -> list[StateRow]:
    """Those of the jobs that are there and nobody else holds, locked, in order."""
    return await session.all(LOCK, jobids=jobids)


async def share(session: Session, jobids: Sequence[int]) -> list[int]:
    """Those of the jobs that are there, run here, nobody else holds, and nobody can delete meanwhile."""
    return await session.values(SHARE, jobids=jobids)


class Pausing(NamedTuple):
    """Why jobs are paused, until when, and by which order."""

    reason: str | None
    until: datetime | None
    pauseid: UUID | None


async def pause(
    session: Session, now: datetime, why: Pausing, goes_on: Mapping[int, datetime | None]
) -> None:
    """Mark jobs as paused; each with the occurrence that it goes on with, if one is known."""
    jobids, resumefroms = list(goes_on), list(goes_on.values())
    await session.all(PAUSE, now=now, jobids=jobids, resumefroms=resumefroms, **why._asdict())


async def resume(session: Session, now: datetime, jobids: Sequence[int], *, active: bool) -> None:
    """Mark jobs as no longer paused: active, or completed."""
    await session.all(RESUME, now=now, jobids=jobids, active=active)


async def bury(session: Session, now: datetime, jobids: Sequence[int]) -> None:
    """Mark jobs as deleted; their history stays."""
    await session.all(BURY, now=now, jobids=jobids)


async def restore(
    session: Session, now: datetime, jobid: int, *, active: bool, paused: bool, first: datetime | None
) -> None:
    """Bring a deleted job back; one that is `paused` goes on with `first` when it is resumed."""
    given = {"active": active, "paused": paused, "first": first}
    await session.all(RESTORE, now=now, jobid=jobid, **given)


async def followed(session: Session, jobids: Sequence[int]) -> set[int]:
    """Those of the jobs after which others run."""
    return set(await session.values(FOLLOWED, jobids=jobids))


async def record(
    session: Session,
    now: datetime,
    actor: Actor,
    action: ChangeAction,
    done: Mapping[int, Mapping[str, Any]] | Mapping[int, None],
) -> None:
    """Write down that one has done the same to many jobs; of each, what it has made of it."""
    afters = [None if after is None else json.dumps(after) for after in done.values()]
    who = actor._asdict() | {"actor": actor.kind}
    del who["kind"]
    await session.all(RECORD, now=now, action=action, jobids=list(done), afters=afters, **who)
