"""Statements on lists of jobs: narrowed down, in an order, page by page; and how many there are."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from scheduler_api.contracts.jobs.job import Condition, LastStatus
from scheduler_api.database.jobs import turns
from scheduler_api.database.jobs.definitions import (
    BEGUN,
    IS_THERE,
    LAST_RUN,
    NEXT_RUN,
    NEXT_RUNS,
    STATE_OF_JOB,
    SUMMARY,
)
from scheduler_api.database.jobs.rows import JobRow
from scheduler_api.database.jobs.turns import IN_TURN, Sought, Turn
from scheduler_api.database.plans import MANY, joining_by_hash, looking_at_all, planned_for_those
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE, LIVE_NEXT_RUN, TOOK

#: A run that begins so much later than it should is overdue.
LATE = timedelta(seconds=5)


class JobFilter(NamedTuple):
    """Which jobs: those that fit everything that is given."""

    name: str | None = None
    """A part of the name."""
    search: str | None = None
    """A part of the name, the host, a tag or the cron expression; or the id."""
    state: Condition | None = None
    laststatus: LastStatus | None = None
    tag: str | None = None
    project: str | None = None
    jobids: Sequence[int] | None = None
    pauseid: UUID | None = None
    """The order to many jobs that paused them."""
    projects: Sequence[str] | None = None
    """The projects of who asks; None: all."""


#: Filters of which each value has a condition of its own, as the planner chooses by it.
LITERAL = {"state", "laststatus"}
_WILDCARDS = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})
_FAILED = "coalesce(next_run.laststatus, job.laststatus) = 'failed'"
#: Runs that have begun and are not over: those in progress, and those that wait for another attempt.
_RUNNING, _WAITING = f"{LIVE} AND status = 'running'", f"{LIVE} AND status = 'pending' AND attempt > 1"
# Looked up for each job by itself (see `plans`).
_NONE_BEGUN = " AND ".join(
    f"NOT EXISTS (SELECT FROM joblog WHERE {begun} AND startedat IS NOT NULL AND jobid = job.jobid OFFSET 0)"
    for begun in (_RUNNING, _WAITING)
)
_OVERDUE = " UNION ALL ".join(
    f"SELECT jobid FROM joblog WHERE {LIVE} AND {which}"
    f" AND {key} < statement_timestamp() - CAST(:overdue AS interval)"
    for key, which in IN_TURN
)
#: A job's words are found by an index of the trigrams in them. For a shorter text it is of no use, and where
#: very many jobs have the text, it is slower than to look at each job: another collation keeps it out. What
#: is looked for is put into lower case once, and not for each of them.
SHORTEST, COMMON = 3, 30
_COMMON = {
    # In the order of names an index has all that this asks for.
    "name-common": "lower(job.jobname) LIKE (SELECT lower(:name))",
    "search-common": 'job.words COLLATE "C" LIKE (SELECT lower(:search))',
}
#: A number may be an id as well, and what has such a character a part of a cron expression.
_DIGITS, _CRON = re.compile(r"#?(\d{1,18})", re.ASCII), re.compile(r"[*@/]|^\d+ \d")
#: How many of a hundredth of the jobs have the text; the same hundredth each time.
SAMPLE = {
    name: Statement(f"SELECT count(*) FROM job TABLESAMPLE SYSTEM (1) REPEATABLE (1) WHERE {condition}")
    for name, condition in _COMMON.items()
}
HAVE_FEW = Statement(
    """
    SELECT count(*) < :beyond FROM (
        SELECT FROM job WHERE project = ANY(CAST(:projects AS text[])) LIMIT :beyond
    ) AS theirs
    """
)
#: The conditions, by the filter or the state that asks for them.
CONDITIONS = {
    "name": "job.words LIKE lower(:name) AND job.jobname ILIKE :name",
    "search": "job.words LIKE lower(:search)",
    **_COMMON,
    "search-id": "(job.jobid = :searchid OR job.words LIKE lower(:search))",
    "search-id-common": f"(job.jobid = :searchid OR {_COMMON['search-common']})",
    "search-cron": f"(lower(job.cron) LIKE (SELECT lower(:search)) OR {_COMMON['search-common']})",
    "tag": "job.tags @> ARRAY[CAST(:tag AS text)]",
    "project": "job.project = :project",
    "projects": "job.project = ANY(CAST(:projects AS text[]))",
    "jobids": "job.jobid = ANY(CAST(:jobids AS bigint[]))",
    "pauseid": "job.pauseid = CAST(:pauseid AS uuid)",
    # So written the planner knows that most jobs fit.
    "last-finished": f"{_NONE_BEGUN} AND (next_run.laststatus = 'finished'"
    " OR next_run.laststatus IS NULL AND job.laststatus = 'finished')",
    "last-failed": f"{_NONE_BEGUN} AND {_FAILED}",
    "last-running": "begun.status = 'running'",
    "last-pending": "begun.status = 'pending'",
    "active": "job.active",
    "paused": "NOT job.active AND job.pausedat IS NOT NULL AND job.deletedat IS NULL",
    "completed": "NOT job.active AND job.pausedat IS NULL AND job.deletedat IS NULL",
    "deleted": "job.deletedat IS NOT NULL",
    "failing": f"job.active AND {_NONE_BEGUN} AND {_FAILED}",
    "overdue": "job.active",
}
#: What is known of few jobs, each by an index: by the filter that asks for it.
_KNOWN = {
    **dict.fromkeys(
        ("failing", "last-failed"),
        f"SELECT jobid FROM joblog WHERE {LIVE} AND laststatus = 'failed'"
        " UNION ALL SELECT jobid FROM job WHERE laststatus = 'failed'",
    ),
    **dict.fromkeys(("running", "last-running"), f"SELECT jobid FROM joblog WHERE {_RUNNING}"),
    "last-pending": f"SELECT jobid FROM joblog WHERE {_WAITING}",
    "overdue": _OVERDUE,
}
#: Filters that no index knows: of all jobs, each is looked at.
_OF_ALL = {"completed", *_COMMON, "search-id-common", "search-cron"}
#: Filters that most jobs may fit.
_BROAD = {"active", "projects"}
#: Filters on what an index knows of a job.
_OF_INDEX = ("project", "projects")
#: Filters that look at the newest run that has begun, and at the next run.
_OF_BEGUN = {"last-running", "last-pending"}
_OF_NEXT_RUN = {"failing", "last-finished", "last-failed"}
#: Schedules in the order of what they are: once by when, intervals by how long, crons as they are written.
_RHYTHM = """
    CASE WHEN job.cron IS NOT NULL THEN '2 ' || job.cron
         WHEN job.interval IS NOT NULL THEN '1 ' || lpad(CAST(job.interval AS text), 12, '0')
         WHEN job.startdate IS NOT NULL THEN '0 ' || CAST(job.startdate + job.starttime AS text)
         ELSE '3' END COLLATE "C"
"""
#: How long the newest run took that was begun or decided.
_TOOK = f"""
    LEFT JOIN LATERAL (
        SELECT {TOOK} AS took FROM joblog
        WHERE jobid = job.jobid AND (status <> 'pending' OR attempt > 1)
        ORDER BY scheduledfor DESC LIMIT 1
    ) AS newest ON true
"""
#: A job's own row may be far away: it is read only where there is no next run.
_LAST_RUN = LAST_RUN.format(kept="(SELECT lastrun FROM job AS kept WHERE kept.jobid = job.jobid)")
_BOTH_WAYS = (("", "ASC", ">", "infinity"), ("-", "DESC", "<", "-infinity"))
#: How lists can be sorted: by what, what comes after a place in that order, and what goes before a jobid.
SORTS = {
    "jobid": ("job.jobid", "job.jobid > :jobid", "NULL"),
    "-jobid": ("job.jobid DESC", "job.jobid < :jobid", "NULL"),
    **{
        f"{sign}{name}": (
            f"{key} {way}, job.jobid {way}",
            f"({key}, job.jobid) {than} (CAST(:key AS text), :jobid)",
            key,
        )
        for name, key in (("jobname", "job.jobname"), ("schedule", _RHYTHM))
        for sign, way, than, _ in _BOTH_WAYS
    },
    # What has none comes last, whichever way.
    **{
        f"{sign}{name}": (
            f"coalesce({key}, '{last}') {way}, job.jobid {way}",
            f"(coalesce({key}, '{last}'), job.jobid)"
            f" {than} (coalesce(CAST(:key AS {kind}), '{last}'), :jobid)",
            key,
        )
        for name, key, kind in (
            ("nextrun", "next_run.nextrun", "timestamptz"),
            ("lastrun", _LAST_RUN, "timestamptz"),
            ("duration", "newest.took", "float8"),
        )
        for sign, way, than, last in _BOTH_WAYS
    },
}
#: Orders that no index has: for jobs that are known; and those that look at a run of each.
OF_FEW = {
    "-nextrun",
    *(f"{sign}{name}" for name in ("lastrun", "schedule", "duration") for sign in ("", "-")),
}
OF_VERY_FEW = {"duration", "-duration"}
#: What an order looks at beside the jobs.
_SEEN = {"nextrun": NEXT_RUNS, "lastrun": NEXT_RUNS + BEGUN, "duration": _TOOK}


class Lookup(NamedTuple):
    """What a filter asks for, as the database is to look for it."""

    filters: tuple[str, ...]
    """The names of conditions."""
    values: Mapping[str, Any]


async def lookup(session: Session, wanted: JobFilter) -> Lookup:
    """How to look for what is wanted."""
    by_name = wanted._asdict().items()
    values = {name: value for name, value in by_name if value is not None and name not in LITERAL}
    filters = {*values}
    for name in {"name", "search"} & filters:
        text = values[name]
        values[name] = f"%{text.translate(_WILDCARDS)}%"
        common = f"{name}-common"
        if len(text) < SHORTEST or await session.value(SAMPLE[common], **{name: values[name]}) > COMMON:
            filters = filters - {name} | {common}
    if wanted.search is not None and (number := _DIGITS.fullmatch(wanted.search)):
        values["searchid"] = int(number[1])
        filters = {name.replace("search", "search-id") for name in filters}
    elif wanted.search is not None and _CRON.search(wanted.search):
        filters = filters - {"search", "search-common"} | {"search-cron"}
    if wanted.state is not None:
        filters.add(wanted.state.value)
    if wanted.state is Condition.OVERDUE:
        values["overdue"] = LATE
    if wanted.laststatus is not None:
        filters.add(f"last-{wanted.laststatus}")
    return Lookup(tuple(sorted(filters)), values)


async def is_narrow(session: Session, asked: Lookup, most: int) -> bool:
    """Whether it asks for what most jobs need not be, without a look at how each has run.

    Of all jobs of some projects, and of those that are active, it depends on how many there are: up to
    `most`, whatever has become of them.
    """
    if "last-finished" in asked.filters:
        return False
    if not _BROAD.issuperset(asked.filters):
        return True
    return "projects" in asked.filters and await have_few(session, asked.values["projects"], most)


async def have_few(session: Session, projects: Sequence[str], most: int) -> bool:
    """Whether these projects have up to `most` jobs, as an index counts them: deleted ones, too."""
    return bool(await session.value(HAVE_FEW, projects=projects, beyond=most + 1))


async def count(session: Session, asked: Lookup, most: int | None = None) -> int:
    """How many jobs there are; up to `most`."""
    async with _planned(session, asked):
        return int(await session.value(_count(asked.filters), **asked.values, most=most))


async def some(session: Session, asked: Lookup, most: int) -> list[int]:
    """The ids of up to `most` jobs, in no order."""
    async with _planned(session, asked):
        return await session.values(_some(asked.filters), **asked.values, most=most)


def _planned(session: Session, asked: Lookup) -> contextlib.AbstractAsyncContextManager[None]:
    return looking_at_all(session) if _OF_ALL & {*asked.filters} else contextlib.nullcontext()


class Position(NamedTuple):
    """Where a job is in an order."""

    jobid: int
    key: Any
    """What goes before it, as it was when the order was made; None: nothing, or it has none."""


async def positions(
    session: Session, asked: Lookup, sort: str, after: Position | None, limit: int
) -> list[Position]:
    """Up to `limit` jobs after a place, in order: those that come next are looked at until enough fit."""
    jobid, key = after or (None, None)
    if sort == "nextrun" and not _KNOWN.keys() & {*asked.filters}:
        return await _by_next_run(session, asked, after, limit)
    found = statement(asked.filters, sort, after is not None)
    async with planned_for_those(session, asked.values.get("projects")):
        return await session.all(found, **asked.values, jobid=jobid, key=key, limit=limit)


async def _by_next_run(session: Session, asked: Lookup, after: Position | None, limit: int) -> list[Position]:
    """Those with a next run in the order of that; if these are not enough, those without."""
    found = list[Position]()
    if after is None or after.key is not None:
        place = None if after is None else Turn(after.key, after.jobid)
        next_ones = await turns.next_ones(session, _in_turn(asked), place, None, limit)
        found = [Position(one.jobid, one.key) for one in next_ones]
    if len(found) < limit:
        jobid = 0 if after is None or after.key is not None else after.jobid
        async with planned_for_those(session, asked.values.get("projects")):
            rest = await session.all(
                _without_next_run(asked.filters), **asked.values, jobid=jobid, limit=limit
            )
        # What has lost its next run since it was found is among these, too.
        known = {one.jobid for one in found}
        found += [one for one in rest if one.jobid not in known][: limit - len(found)]
    return found


async def next_until(session: Session, asked: Lookup, until: datetime, limit: int) -> list[Position]:
    """Up to `limit` jobs that run by then, in order: those that come next are looked at until enough fit."""
    found = await turns.next_ones(session, _in_turn(asked), None, until, limit)
    return [Position(one.jobid, one.key) for one in found]


def _in_turn(asked: Lookup) -> Sought:
    indexed = tuple(CONDITIONS[name] for name in asked.filters if name in _OF_INDEX)
    begun = bool(_OF_BEGUN & {*asked.filters})
    return Sought(tuple(_conditions(asked.filters)), begun, indexed, asked.values)


async def in_order(
    session: Session, jobids: Sequence[int], sort: str, after: Position | None, limit: int
) -> list[Position]:
    """The same of jobs that are known."""
    jobid, key = after or (None, None)
    if sort in {"jobid", "-jobid"}:
        down = sort == "-jobid"
        rest = [one for one in jobids if jobid is None or (one < jobid if down else one > jobid)]
        return [Position(one, None) for one in sorted(rest, reverse=down)[:limit]]
    found = _in_order(sort, after is not None)
    async with joining_by_hash(session) if len(jobids) >= MANY else contextlib.nullcontext():
        return await session.all(found, jobids=jobids, jobid=jobid, key=key, limit=limit)


async def of_ids(session: Session, jobids: Sequence[int]) -> list[JobRow]:
    """These jobs, in this order; without those that are gone."""
    # Which jobs comes first, and by itself: not knowing how few these are, a plan would join them with all
    # next runs that there are.
    rows = {row.jobid: row for row in await session.all(OF_IDS, jobids=jobids)} if jobids else {}
    return [rows[jobid] for jobid in jobids if jobid in rows]


async def states(session: Session, jobids: Sequence[int]) -> dict[int, str]:
    """In which state each of the jobs is."""
    return dict(await session.all(STATES, jobids=jobids)) if jobids else {}


OF_IDS = Statement(f"{SUMMARY} WHERE job.jobid = ANY(:jobids)", JobRow)
STATES = Statement(f"SELECT jobid, {STATE_OF_JOB} AS state FROM job WHERE jobid = ANY(:jobids)")


@lru_cache(maxsize=512)
def statement(filters: tuple[str, ...], sort: str, further: bool) -> Statement[Position]:
    """The statement behind `positions`."""
    order, beyond, key = SORTS[sort]
    matching = _matching(filters, [*_conditions(filters), *([beyond] if further else [])], key)
    return Statement(f"{matching} ORDER BY {order} LIMIT :limit", Position)


@lru_cache(maxsize=2 * len(SORTS))
def _in_order(sort: str, further: bool) -> Statement[Position]:
    order, beyond, key = SORTS[sort]
    seen = _SEEN.get(sort.removeprefix("-"), "")
    return Statement(
        f"SELECT job.jobid, {key} AS key FROM job {seen} WHERE job.jobid = ANY(:jobids)"
        f" AND {beyond if further else 'true'} ORDER BY {order} LIMIT :limit",
        Position,
    )


@lru_cache(maxsize=256)
def _some(filters: tuple[str, ...]) -> Statement[Any]:
    return Statement(f"{_matching(filters, _conditions(filters))} LIMIT :most")


@lru_cache(maxsize=256)
def _count(filters: tuple[str, ...]) -> Statement[Any]:
    matching = _matching(filters, _conditions(filters))
    return Statement(f"SELECT count(*) FROM ({matching} LIMIT :most) AS found")


def _matching(filters: Sequence[str], conditions: Sequence[str], key: str = "") -> str:
    shown = key and f", {key} AS key"
    seen = _seen(filters, key)
    return f"SELECT job.jobid{shown} FROM {_jobs(filters)} {seen} WHERE {' AND '.join(conditions)}"


def _jobs(filters: Sequence[str]) -> str:
    """The jobs that are looked at: those that are known to be few, or all."""
    known = dict.fromkeys(_KNOWN[name] for name in filters if name in _KNOWN)
    if not known or "jobids" in filters:
        return "job"
    # As one array: two would be compared with each other, and a join might compare each with all jobs.
    jobids = " INTERSECT ".join(f"({jobids})" for jobids in known)
    return f"(SELECT * FROM job WHERE job.jobid = ANY(ARRAY({jobids})) OFFSET 0) AS job"


def _seen(filters: Sequence[str], key: str = "") -> str:
    """What is looked at beside each job."""
    next_run = NEXT_RUN if _OF_NEXT_RUN & {*filters} or "next_run." in key else ""
    return next_run + (BEGUN if _OF_BEGUN & {*filters} else "")


@lru_cache(maxsize=256)
def _without_next_run(filters: tuple[str, ...]) -> Statement[Position]:
    """In the order of their ids, as nothing else tells them apart."""
    none = f"NOT EXISTS (SELECT FROM joblog WHERE {LIVE_NEXT_RUN} AND jobid = job.jobid OFFSET 0)"
    where = " AND ".join((none, "job.jobid > :jobid", *_conditions(filters)))
    return Statement(
        f"SELECT job.jobid, NULL AS key FROM job {_seen(filters)} WHERE {where}"
        " ORDER BY job.jobid LIMIT :limit",
        Position,
    )


def _conditions(filters: Sequence[str]) -> list[str]:
    conditions = [CONDITIONS[name] for name in filters if name in CONDITIONS]
    if "jobids" in filters:
        conditions += [
            f"EXISTS (SELECT FROM ({_KNOWN[name]}) AS known WHERE known.jobid = job.jobid OFFSET 0)"
            for name in filters
            if name in _KNOWN
        ]
    return [*conditions, IS_THERE] if "deleted" in filters else [*conditions, "job.deletedat IS NULL"]
