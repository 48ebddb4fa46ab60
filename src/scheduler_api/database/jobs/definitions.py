"""Statements on jobs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, and_, any_, bindparam, case, func, insert, select, tuple_, update

from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.database.jobs.rows import JobRow, ScheduleRow, StateRow
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import Instant, RunKind, columns
from scheduler_api.database.tables.jobs import job
from scheduler_api.database.tables.runs import LIVE, LIVE_NEXT_RUN, STANDING

#: The columns of a ScheduleRow, and of a StateRow.
SCHEDULE, STATE = (
    ", ".join(f'job."{field.name}"' for field in fields(row)) for row in (ScheduleRow, StateRow)
)
#: What an author of a job writes: one column for each field of a draft that is kept as it is.
WRITTEN = tuple(name for name in JobDraft.model_fields if name not in {"active", "delay"})
#: What follows from that.
DERIVED = ("kind", "host", "afterjobid", "calendardays", "calendarversion", "secretnames")

_NEXT_RUNS = f"""
    SELECT jobid, coalesce(following, nextrun) AS nextrun, coalesce(following, scheduledfor) AS scheduledfor,
           {", ".join(STANDING)}
    FROM joblog WHERE {LIVE_NEXT_RUN}
"""
#: The next run of each job, with how its runs have gone; looked up for each by itself (see `plans`).
NEXT_RUN = f"LEFT JOIN LATERAL ({_NEXT_RUNS} AND jobid = job.jobid OFFSET 0) AS next_run ON true"
#: The same for many jobs that are known, at once.
NEXT_RUNS = f"""
    LEFT JOIN ({_NEXT_RUNS} AND jobid = ANY(:jobids)) AS next_run ON next_run.jobid = job.jobid
"""
#: The newest run that has begun and is not over: it is in progress, or waits for another attempt. Few do, and
#: each of the two has an index of its own.
BEGUN = f"""
    LEFT JOIN LATERAL (
        SELECT startedat, status FROM (
            SELECT startedat, status FROM joblog WHERE {LIVE} AND jobid = job.jobid AND status = 'running'
            UNION ALL
            SELECT startedat, status FROM joblog
            WHERE {LIVE} AND jobid = job.jobid AND status = 'pending' AND attempt > 1
        ) AS not_over
        WHERE startedat IS NOT NULL ORDER BY startedat DESC LIMIT 1
    ) AS begun ON true
"""
#: When the newest run began, in progress or not; without a next run, the job keeps it.
LAST_RUN = """
    greatest(begun.startedat, CASE WHEN next_run.jobid IS NULL THEN {kept} ELSE next_run.lastrun END)
"""
#: A target without what lists and schedules need not know, and what may be long.
SHORT_TARGET = """
    CASE jsonb_typeof(job.target) WHEN 'object'
         THEN job.target - CAST('{headers,body,clientcert,cacert,oauth2}' AS text[]) END
"""
#: Whether there is more to a job's schedule than an interval, or one start; or runs are reported.
IS_REFINED = """
    (num_nonnulls(job.cron, job.until, job.maxruns) > 0 OR job.jitter > 0 OR job.dstfold <> 'once'
     OR cardinality(job.exclude) > 0 OR cardinality(job.calendardays) > 0 OR cardinality(job.kept) > 0
     OR job.kind = 'monitor')
"""
#: Whether a job is of the projects that are given, those of who asks; null: of all.
OF_PROJECTS = "(CAST(:projects AS text[]) IS NULL OR job.project = ANY(:projects))"
#: Whether the name of a job contains a text, in whatever case.
IS_CALLED = "strpos(lower(job.jobname), lower(:name)) > 0"
Projects = Sequence[str] | None
#: The job of each row, looked up by itself (see `plans`).
ITS_JOB = "CROSS JOIN LATERAL (SELECT * FROM job WHERE job.jobid = {row}.jobid OFFSET 0) AS job"
#: Whether the job of a row is one of some, looked up by itself.
IS_OF = "EXISTS (SELECT FROM job WHERE job.jobid = {row}.jobid AND {which} OFFSET 0)"
#: Whether a job is not being removed with its history.
IS_THERE = "job.removedat IS NULL"
STATE_OF_JOB = """
    CASE WHEN job.active THEN 'active' WHEN job.deletedat IS NOT NULL THEN 'deleted'
         WHEN job.pausedat IS NOT NULL THEN 'paused' ELSE 'completed' END
"""
_OWN = ", ".join(
    f'job."{field.name}"' for field in fields(JobRow) if field.name in job.c and field.name not in STANDING
)
_JOB = f"""
    SELECT {_OWN.replace('job."target"', "{target} AS target")},
           {STATE_OF_JOB} AS state,
           next_run.nextrun, next_run.scheduledfor AS nextoccurrence,
           coalesce(next_run.runs, job.runs) AS runs,
           {LAST_RUN.format(kept="job.lastrun")} AS lastrun,
           coalesce(begun.status, next_run.laststatus, job.laststatus) AS laststatus,
           coalesce(next_run.failures, job.failures) AS failures,
           coalesce(next_run.lastsuccess, job.lastsuccess) AS lastsuccess
    FROM job {NEXT_RUN} {BEGUN}
"""
#: A job with what its logs say of it: its next run, and how the newest one ended.
SUMMARY = _JOB.format(target=SHORT_TARGET)

ONE = Statement(f"{_JOB.format(target='job.target')} WHERE job.jobid = :jobid AND {IS_THERE}", JobRow)
ONE_SUMMARY = Statement(f"{SUMMARY} WHERE job.jobid = :jobid AND {IS_THERE}", JobRow)
AS_WRITTEN = Statement(
    select(*(job.c[column] for column in WRITTEN)).where(job.c.jobid == bindparam("jobid"))
)


class NamedJob(NamedTuple):
    """What a job is called, for pages that name many."""

    jobid: int
    jobname: str
    project: str
    timezone: str
    tags: list[str]
    calls: bool
    """Whether it still calls a target."""


NAMES = Statement(
    select(
        job.c.jobid,
        job.c.jobname,
        job.c.project,
        job.c.timezone,
        job.c.tags,
        and_(job.c.kind == "http", job.c.deletedat.is_(None)).label("calls"),
    ).where(job.c.jobid == any_(bindparam("jobids"))),
    NamedJob,
)
COUNT = Statement(select(func.count()).select_from(job).where(job.c.removedat.is_(None)))
IDS = Statement(
    select(job.c.jobid)
    .where(job.c.jobid > bindparam("after"), job.c.removedat.is_(None))
    .order_by(job.c.jobid)
    .limit(bindparam("limit"))
)


class Continuation(NamedTuple):
    """How a job goes on after an edit."""

    active: bool
    validfrom: datetime
    """The schedule calls for what comes after this."""
    resumefrom: datetime | None
    """The first open occurrence of a paused job."""
    kept: Sequence[datetime]
    """Parts of the time before in which it holds as well: the first and the last instant of each, in turn."""


#: Of a monitor, which keeps it.
NEW_TOKEN = case((bindparam("kind", type_=RunKind) == "monitor", func.gen_random_uuid()))
TOKEN = case(
    (bindparam("kind", type_=RunKind) == "monitor", func.coalesce(job.c.monitortoken, func.gen_random_uuid()))
)
CREATE = Statement(
    insert(job)
    .values(
        {
            **{column: bindparam(column) for column in (*WRITTEN, *DERIVED)},
            "monitortoken": NEW_TOKEN,
            "active": bindparam("active"),
            "pausedat": bindparam("pausedat"),
            "resumefrom": bindparam("resumefrom"),
            "createdat": bindparam("now"),
            "validfrom": bindparam("now"),
        }
    )
    .returning(job.c.jobid)
)
EDIT = Statement(
    update(job)
    .where(job.c.jobid == bindparam("jobid"))
    .values(
        {column: bindparam(column) for column in (*WRITTEN, *DERIVED, *Continuation._fields)}
        | {"monitortoken": TOKEN, "distance": None, "version": job.c.version + 1}
    )
)
TOUCH = Statement(update(job).where(job.c.jobid == bindparam("jobid")).values(version=job.c.version + 1))
RETIRE = Statement(update(job).where(job.c.jobid == any_(bindparam("jobids"))).values(active=False))

CLOCK = Statement(select(func.clock_timestamp()))
LOCK = Statement(
    select(*columns(job, StateRow))
    .where(job.c.jobid == bindparam("jobid"), job.c.removedat.is_(None))
    .with_for_update(key_share=True),
    StateRow,
)


class SharedJob(NamedTuple):
    """A job that cannot be deleted meanwhile."""

    jobid: int
    deletedat: datetime | None
    kind: str
    host: str | None
    project: str


# Keeps a job from being deleted meanwhile, and none of those who run it from going on.
SHARE = Statement(
    select(*columns(job, SharedJob))
    .where(job.c.jobid == bindparam("jobid"), job.c.removedat.is_(None))
    .with_for_update(read=True),
    SharedJob,
)


class EndedPause(NamedTuple):
    """A pause whose time has come."""

    jobid: int
    pauseduntil: datetime


PAUSES_OVER = Statement(
    select(*columns(job, EndedPause))
    .where(
        job.c.pauseduntil <= bindparam("now"),
        job.c.deletedat.is_(None),
        tuple_(job.c.pauseduntil, job.c.jobid)
        > tuple_(bindparam("until", type_=Instant), bindparam("after", type_=BigInteger)),
    )
    .order_by(job.c.pauseduntil, job.c.jobid)
    .limit(bindparam("limit")),
    EndedPause,
)
NEXT_PAUSE = Statement(
    select(func.min(job.c.pauseduntil)).where(job.c.pauseduntil > bindparam("now"), job.c.deletedat.is_(None))
)


async def create(
    session: Session, now: datetime, values: Mapping[str, Any], resumefrom: datetime | None
) -> int:
    """Insert a job; paused unless it is active. The new jobid."""
    pausedat = None if values["active"] else now
    state = {"active": values["active"], "pausedat": pausedat, "resumefrom": resumefrom}
    return int(await session.value(CREATE, **_columns(values), **state, now=now))


def _columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that the author decides, and what follows from them."""
    documents = {name: values[name] and json.dumps(values[name]) for name in ("target", "after", "monitor")}
    derived = {
        "kind": values["kind"],
        "host": values["host"],
        "afterjobid": values["after"] and values["after"]["jobid"],
        "calendardays": values["calendardays"],
        "calendarversion": values["calendarversion"],
        "secretnames": values["secretnames"],
    }
    return {column: values[column] for column in WRITTEN} | documents | derived


async def one(session: Session, jobid: int) -> JobRow | None:
    """The job, with what its logs say of it."""
    return await session.one_or_none(ONE, jobid=jobid)


async def summary(session: Session, jobid: int) -> JobRow | None:
    """The same without the headers and the body of its target."""
    return await session.one_or_none(ONE_SUMMARY, jobid=jobid)


async def as_written(session: Session, jobid: int) -> Mapping[str, Any]:
    """What the author wrote of a job that is there, by the names of WRITTEN."""
    return dict(await session.one(AS_WRITTEN, jobid=jobid))


async def ids(session: Session, after: int, limit: int) -> list[int]:
    """Up to `limit` jobids above `after`, in order; those of deleted jobs among them."""
    return await session.values(IDS, after=after, limit=limit)


async def count(session: Session) -> int:
    """How many jobs there are, deleted ones too."""
    return int(await session.value(COUNT))


async def names(session: Session, jobids: Sequence[int]) -> dict[int, NamedJob]:
    """What each of these jobs is called, by jobid."""
    return {row.jobid: row for row in await session.all(NAMES, jobids=jobids)}


async def lock(session: Session, jobid: int) -> StateRow | None:
    """The job's own row, locked until the end of the transaction."""
    return await session.one_or_none(LOCK, jobid=jobid)


async def clock(session: Session) -> datetime:
    """The instant that it is by now, however long ago the transaction began."""
    found: datetime = await session.value(CLOCK)
    return found


async def share(session: Session, jobid: int) -> SharedJob | None:
    """The job, which cannot be deleted until the transaction ends."""
    return await session.one_or_none(SHARE, jobid=jobid)


async def edit(
    session: Session,
    jobid: int,
    values: Mapping[str, Any],
    goes_on: Continuation,
) -> None:
    """Write the job's definition anew."""
    await session.all(EDIT, **_columns(values), **goes_on._asdict(), jobid=jobid)


async def pauses_over(
    session: Session, now: datetime, after: tuple[datetime, int], limit: int
) -> list[EndedPause]:
    """Up to `limit` pauses that have ended, in order, after one of them."""
    until, jobid = after
    return await session.all(PAUSES_OVER, now=now, until=until, after=jobid, limit=limit)


async def next_pause(session: Session, now: datetime) -> datetime | None:
    """When the next pause ends; None: none will."""
    found: datetime | None = await session.value(NEXT_PAUSE, now=now)
    return found


async def touch(session: Session, jobid: int) -> None:
    """Count a change that leaves the job's row as it is."""
    await session.all(TOUCH, jobid=jobid)


async def retire(session: Session, jobids: list[int]) -> None:
    """Mark jobs as having no future."""
    await session.all(RETIRE, jobids=jobids)
