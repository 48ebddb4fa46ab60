"""Lists of logs: those that fit a filter, newest first."""

import contextlib
from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from scheduler_api.contracts.runs.logs import LogCause, LogStatus
from scheduler_api.database.jobs.definitions import IS_CALLED, IS_OF
from scheduler_api.database.plans import joining_by_hash, joining_few_by_hash, planned_anew
from scheduler_api.database.runs.logs import LOGS, LogRow
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE


class LogFilter(NamedTuple):
    """Which logs: those that fit everything that is given."""

    jobid: int | None = None
    status: str | None = None
    cause: str | None = None
    since: datetime | None = None
    """The first instant of their occurrences."""
    until: datetime | None = None
    """The first instant after them."""
    before: int | None = None
    """Only what comes after this log in the list."""
    name: str | None = None
    """What the name of the job contains."""
    tag: str | None = None
    """Of the job."""
    project: str | None = None
    projects: Sequence[str] | None = None
    """The projects of who asks; None: all."""
    host: str | None = None
    longer: float | None = None
    """Seconds that they took at least, from the start to the end."""
    shorter: float | None = None
    """Less than these."""

    @property
    def given(self) -> dict[str, Any]:
        """What is not None, by its name."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    @property
    def is_search(self) -> bool:
        """Whether logs have to be looked at one by one."""
        return not SEARCHED.isdisjoint(self.given)

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of what it asks for, in order: of CONDITIONS, and `before`."""
        given = self.given.items()
        return tuple(sorted(f"{name}={value}" if name in LITERAL else name for name, value in given))


#: Filters that no index serves: logs are looked at one by one.
SEARCHED = {"name", "tag", "project", "projects", "host", "longer", "shorter"}
#: Filters of which each value has a condition of its own, as the planner chooses indexes and parts by it.
LITERAL = {"status", "cause"}
#: Of so few logs that are looked at, the job of each is looked up; of more, all jobs are read at once.
FEW = 2000
#: The conditions on jobs, by the filter that asks for them.
_ON_JOBS = {
    "name": IS_CALLED,
    "tag": "tags @> ARRAY[CAST(:tag AS text)]",
    "project": "project = :project",
    "projects": "project = ANY(CAST(:projects AS text[]))",
}
#: Those that an index serves.
_OF_FEW = ("tag", "project", "projects")
#: The conditions, by the filter that asks for them.
CONDITIONS = {
    "jobid": "jobid = :jobid",
    # No row is under an earlier day than that of its occurrence, but what is later than all parts.
    "since": """scheduledfor >= :since AND day >= least(
        CAST(CAST(:since AS timestamptz) AT TIME ZONE 'UTC' AS date), (SELECT lastday FROM history)
    )""",
    "until": "scheduledfor < :until",
    **{name: f"jobid IN (SELECT jobid FROM job WHERE {what})" for name, what in _ON_JOBS.items()},
    "host": "host = :host",
    "longer": "finishedat - startedat >= make_interval(secs => :longer)",
    "shorter": "finishedat - startedat < make_interval(secs => :shorter)",
    **{f"cause={cause}": f"cause = '{cause}'" for cause in LogCause},
    **{f"status={status}": f"status = '{status}'" for status in LogStatus},
    **{f"status={status}": f"{LIVE} AND status = '{status}'" for status in ("pending", "running")},
}
#: The order of one job's logs and of all logs (which have no index by time), and what comes further on.
_OF_JOB = "scheduledfor DESC, logid DESC"
_OF_ALL = "logid DESC"
_FURTHER = {
    # The row itself may have been withdrawn since: then what was added before it comes next.
    _OF_JOB: """(scheduledfor, logid) < (coalesce(
        (SELECT scheduledfor FROM joblog WHERE logid = :before AND jobid = :jobid),
        (SELECT max(scheduledfor) FROM joblog WHERE jobid = :jobid AND logid < :before)
    ), CAST(:before AS bigint))""",
    _OF_ALL: "logid < :before",
}


async def are_of_none(session: Session, wanted: LogFilter) -> bool:
    """Whether no job has such a tag, or is in such a project: then no log has to be looked at."""
    names = tuple(name for name in _OF_FEW if name in wanted.given)
    return bool(names) and not await session.value(has_jobs(names), **wanted.given)


async def page(session: Session, wanted: LogFilter, limit: int) -> list[LogRow]:
    """Up to `limit` logs, newest first."""
    # Few are in progress, which are compared with all jobs that are wanted.
    is_running = wanted.status == LogStatus.RUNNING
    async with searching(session, wanted) if is_running else contextlib.nullcontext():
        return await session.all(statement(wanted.conditions), **wanted.given, limit=limit)


class HasLogs(Protocol):
    """What some look at logs has found."""

    @property
    def logids(self) -> Sequence[int]:
        """Which these are."""

    @property
    def days(self) -> Sequence[date]:
        """The days under which they are kept."""


class Searched(NamedTuple):
    """What a search among some logs has found, and where it ended."""

    logids: Sequence[int]
    days: Sequence[date]
    """The days under which these are kept."""
    looked_at: int
    last: int | None
    """The last log that was looked at; None: there was none."""
    until: datetime | None
    """Its occurrence."""


async def search(session: Session, wanted: LogFilter, among: int, limit: int) -> Searched:
    """Look at `among` logs, newest first, for up to `limit` of those that are wanted."""
    is_of_few = among <= FEW
    async with planned_anew(session) if is_of_few else searching(session, wanted):
        found = _search(wanted.conditions, is_of_few)
        return await session.one(found, **wanted.given, among=among, limit=limit)


def searching(session: Session, wanted: LogFilter) -> contextlib.AbstractAsyncContextManager[None]:
    """A plan for many logs that are compared with all jobs, where the filter is about jobs."""
    if {*_OF_FEW} & wanted.given.keys():
        return joining_by_hash(session)
    # No index knows the names: where there are very many jobs, only those of the logs are looked at.
    return joining_few_by_hash(session) if wanted.name is not None else contextlib.nullcontext()


async def of_ids(session: Session, found: HasLogs) -> list[LogRow]:
    """The logs that were found, in no order; without those that are gone."""
    if not found.logids:
        return []
    rows = await session.all(OF_IDS, logids=found.logids, days=found.days)
    # One that has settled since is in another part.
    moved = [*{*found.logids}.difference(row.logid for row in rows)]
    return rows + (await session.all(MOVED, logids=moved) if moved else [])


async def count(session: Session, wanted: LogFilter, most: int) -> int:
    """How many logs there are, up to `most`."""
    return int(await session.value(_count(wanted.conditions), **wanted.given, most=most))


async def failed(session: Session, wanted: LogFilter, after: int, limit: int) -> list[int]:
    """Up to `limit` logids above `after` of failed calls."""
    return await session.values(_failed(wanted.conditions), **wanted.given, after=after, limit=limit)


async def count_failed(session: Session, wanted: LogFilter) -> int:
    """How many failed calls there are."""
    async with searching(session, wanted):
        return int(await session.value(_count_failed(wanted.conditions), **wanted.given))


@lru_cache(maxsize=64)
def has_jobs(names: tuple[str, ...]) -> Statement[Any]:
    """The statement behind `are_of_none`, by the names of its conditions."""
    # Each by itself: no index serves both at once.
    each = [f"EXISTS (SELECT FROM job WHERE {_ON_JOBS[name]})" for name in names]
    return Statement(f"SELECT {' AND '.join(each)}")


@lru_cache(maxsize=64)
def _count(names: tuple[str, ...]) -> Statement[Any]:
    where = " AND ".join(CONDITIONS[name] for name in names) or "true"
    return Statement(f"SELECT count(*) FROM (SELECT FROM joblog WHERE {where} LIMIT :most) AS found")


@lru_cache(maxsize=64)
def statement(names: tuple[str, ...]) -> Statement[LogRow]:
    """The statement behind `page`, by the names of its conditions."""
    order = _OF_JOB if "jobid" in names else _OF_ALL
    conditions = [_FURTHER[order] if name == "before" else CONDITIONS[name] for name in names]
    where = " AND ".join(conditions) or "true"
    return Statement(f"{LOGS} WHERE {where} ORDER BY {order} LIMIT :limit", LogRow)


@lru_cache(maxsize=64)
def _search(names: tuple[str, ...], is_of_few: bool) -> Statement[Searched]:
    order = _OF_JOB if "jobid" in names else _OF_ALL
    conditions = {name: _FURTHER[order] if name == "before" else CONDITIONS[name] for name in names}
    among = [condition for name, condition in conditions.items() if name not in SEARCHED]
    wanted = [
        IS_OF.format(row="seen", which=_ON_JOBS[name]) if is_of_few and name in _ON_JOBS else condition
        for name, condition in conditions.items()
        if name in SEARCHED
    ]
    return Statement(
        f"""
        WITH seen AS MATERIALIZED (
            SELECT logid, day, jobid, scheduledfor, startedat, finishedat, host FROM joblog
            WHERE {" AND ".join(among) or "true"} ORDER BY {order} LIMIT :among
        ), found AS (
            SELECT logid, day FROM seen WHERE {" AND ".join(wanted)} ORDER BY {order} LIMIT :limit
        )
        SELECT coalesce((SELECT array_agg(logid) FROM found), '{{}}') AS logids,
               coalesce((SELECT array_agg(day) FROM found), '{{}}') AS days,
               (SELECT count(*) FROM seen) AS looked_at, last.logid AS last, last.scheduledfor AS until
        FROM (VALUES (1)) AS always
        LEFT JOIN (
            SELECT logid, scheduledfor FROM seen ORDER BY {order.replace("DESC", "ASC")} LIMIT 1
        ) AS last ON true
        """,
        Searched,
    )


MOVED = Statement(f"{LOGS} WHERE logid = ANY(:logids)", LogRow)
OF_IDS = Statement(f"{LOGS} WHERE logid = ANY(:logids) AND day = ANY(CAST(:days AS date[]))", LogRow)


#: Failed runs that can be retried: calls, as long as their job is one and is there.
_FAILED_CALLS = "status = 'failed' AND kind = 'http'"
_CALLS = """
    EXISTS (
        SELECT FROM job WHERE job.jobid = failed.jobid AND deletedat IS NULL AND host IS NOT NULL OFFSET 0
    )
"""


@lru_cache(maxsize=64)
def _failed(names: tuple[str, ...]) -> Statement[Any]:
    where = " AND ".join([_FAILED_CALLS, "logid > :after", *(CONDITIONS[name] for name in names)])
    return Statement(
        f"SELECT logid FROM joblog AS failed WHERE {where} AND {_CALLS} ORDER BY logid LIMIT :limit"
    )


@lru_cache(maxsize=64)
def _count_failed(names: tuple[str, ...]) -> Statement[Any]:
    where = " AND ".join([_FAILED_CALLS, *(CONDITIONS[name] for name in names)])
    return Statement(
        f"""
        SELECT coalesce(sum(runs), 0) FROM (
            SELECT jobid, count(*) AS runs FROM joblog WHERE {where} GROUP BY jobid
        ) AS failed WHERE {_CALLS}
        """
    )
