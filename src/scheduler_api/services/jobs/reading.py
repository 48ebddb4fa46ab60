"""Jobs, their changes and their logs, as they are shown."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import NamedTuple

from scheduler_api.computing import in_turns
from scheduler_api.contracts.jobs.changes import Change, ChangeAction
from scheduler_api.contracts.jobs.job import Job, JobSummary
from scheduler_api.contracts.runs.logs import JobWithLogs, Log
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.database.jobs import changes, definitions, lists
from scheduler_api.database.jobs.definitions import NamedJob
from scheduler_api.database.jobs.lists import JobFilter, Position
from scheduler_api.database.runs import lists as log_lists
from scheduler_api.database.runs.lists import LogFilter
from scheduler_api.database.runs.logs import LogRow
from scheduler_api.database.runs.ordered import RunPlace
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, JobNotFound

#: A list says how many there are up to this: to count a million takes longer than to show a page.
MAX_COUNTED = 1000
#: So many jobs that have something in common are put in order by themselves, in a fifth of a second.
MAX_SORTED = 12_000
#: Logs that are looked at in one step of a search, and seconds after which none is begun but the first of so
#: many.
SEARCHED, SEARCH_SECONDS = 50_000, 0.1
#: What a job's version counts.
VERSIONED = {
    ChangeAction.EDITED,
    ChangeAction.PAUSED,
    ChangeAction.RESUMED,
    ChangeAction.SKIPPED,
    ChangeAction.DELETED,
    ChangeAction.RESTORED,
}
#: That, and what made it.
DEEDS = VERSIONED | {ChangeAction.CREATED}


async def get(session: Session, jobid: int) -> Job:
    """The job. Raises JobNotFound."""
    row = await definitions.one(session, jobid)
    if row is None:
        raise JobNotFound(jobid)
    return Job.model_validate(vars(row))


async def get_summary(session: Session, jobid: int) -> JobSummary:
    """The job without the headers and the body of its target. Raises JobNotFound."""
    row = await definitions.summary(session, jobid)
    if row is None:
        raise JobNotFound(jobid)
    return JobSummary.model_validate(vars(row))


async def get_with_logs(session: Session, jobid: int, limit: int, before: int | None = None) -> JobWithLogs:
    """The job and up to `limit` of its logs, newest first; with `before`, older than that logid."""
    job = await get(session, jobid)
    wanted = LogFilter(jobid=jobid, before=before)
    return JobWithLogs(job=job, logs=await list_logs(session, wanted, limit))


async def list_logs(session: Session, wanted: LogFilter, limit: int) -> list[Log]:
    """Up to `limit` logs, newest first."""
    return await logs_of(await log_lists.page(session, wanted, limit))


async def logs_of(rows: Sequence[LogRow]) -> list[Log]:
    """The rows as they are shown."""
    return await in_turns(lambda row: Log.model_validate(vars(row)), rows)


class FoundLogs(NamedTuple):
    """A part of a list of logs."""

    logs: list[Log]
    further: int | RunPlace | None = None
    """The log, or the place, after which the list goes on; None: it does not."""
    until: datetime | None = None
    """The occurrence, or the instant, up to which was searched, where that took too long to go on."""


async def find_logs(session: Session, wanted: LogFilter, limit: int) -> FoundLogs:
    """Up to `limit` logs, newest first; fewer where it takes too long to find more."""
    if not wanted.is_search:
        logs = await list_logs(session, wanted, limit + 1)
        return FoundLogs(logs[:limit], logs[limit - 1].logid if logs[limit:] else None)
    found: list[LogRow] = []
    give_up = monotonic() + SEARCH_SECONDS
    place = wanted
    further, until = None, None
    # What many fit is found among a few.
    among = min(log_lists.FEW, SEARCHED)
    while True:
        part = await log_lists.search(session, place, among, limit + 1 - len(found))
        rows = {row.logid: row for row in await log_lists.of_ids(session, part)}
        # Those that are gone by now are none.
        found += [rows[logid] for logid in part.logids if logid in rows]
        if found[limit:]:
            further = found[limit - 1].logid
        elif part.looked_at == among:
            place = wanted._replace(before=part.last)
            if among < SEARCHED or monotonic() < give_up:
                among = SEARCHED
                continue
            further, until = part.last, part.until
        return FoundLogs(await logs_of(found[:limit]), further, until)


async def count_logs(session: Session, wanted: LogFilter, most: int) -> int:
    """How many logs there are; up to `most`."""
    return await log_lists.count(session, wanted._replace(before=None), most)


async def names(session: Session, jobids: Sequence[int]) -> Mapping[int, NamedJob]:
    """What each of these jobs is called, by jobid."""
    return await definitions.names(session, jobids)


async def changes_of(session: Session, jobid: int, before: int, limit: int) -> list[Change]:
    """Up to `limit` changes of the job older than a changeid, newest first. Raises JobNotFound."""
    await get_summary(session, jobid)
    return await newest_changes(session, jobid, before, limit)


async def newest_changes(session: Session, jobid: int, before: int, limit: int) -> list[Change]:
    """The same of a job that is there."""
    rows = await changes.newest(session, jobid, before, limit)
    return await in_turns(lambda row: Change.model_validate(row._asdict()), rows)


async def last_deed(session: Session, jobid: int) -> Change | None:
    """What was done to a job last, of what its version counts; None: nothing, or there is no such job."""
    row = await changes.newest_of(session, jobid, sorted(DEEDS))
    return None if row is None else Change.model_validate(row._asdict())


async def changes_since(session: Session, job: Job, version: int) -> list[Change]:
    """The newest changes that made the job, as it stands, of an earlier version; up to 20, newest first."""
    newest = await newest_changes(session, job.jobid, MAX_ID, 20)
    counted = (sum(other.action in VERSIONED for other in newest[:index]) for index in range(len(newest)))
    return [change for change, later in zip(newest, counted, strict=True) if later < job.version - version]


class FoundJobs(NamedTuple):
    """A part of a list of jobs."""

    jobs: list[JobSummary]
    further: Position | None
    """The place after which the list goes on; None: it does not."""
    matching: int
    """How many fit on all pages; of more than MAX_COUNTED, one more than that."""
    known: Sequence[int] = ()
    """Which jobs are on all pages, in no order; empty: there are more than MAX_COUNTED."""


class Bearings(NamedTuple):
    """Where a part of a list of jobs is."""

    number: int
    """The number of its first job, from 1."""
    before: Position | None
    """The place after which the part before it goes on; None: at the beginning of the list."""


async def listing(
    session: Session,
    wanted: JobFilter,
    sort: str,
    after: Position | None,
    limit: int,
) -> FoundJobs:
    """Up to `limit` jobs, in order, after a place in it. Raises InvalidInput where there are too many."""
    asked = await lists.lookup(session, wanted)
    # A few are found by what they have in common, and then put in order. Among very many others they may all
    # be at the end of an order that an index has.
    is_narrow = sort not in lists.OF_VERY_FEW and await lists.is_narrow(session, asked, MAX_SORTED)
    most = MAX_SORTED if is_narrow else MAX_COUNTED
    some = await lists.some(session, asked, most + 1)
    matching, few = min(len(some), MAX_COUNTED + 1), len(some) <= most
    if few:
        found = await lists.in_order(session, some, sort, after, limit + 1)
    elif sort in lists.OF_FEW:
        raise InvalidInput(FieldError(("?sort",), "Too many jobs match for this order. Add a filter."))
    else:
        found = await lists.positions(session, asked, sort, after, limit + 1)
    rows = await lists.of_ids(session, [position.jobid for position in found[:limit]])
    jobs = await in_turns(lambda row: JobSummary.model_validate(vars(row)), rows)
    further = found[limit - 1] if found[limit:] else None
    return FoundJobs(jobs, further, matching, some if matching <= MAX_COUNTED else ())


async def bearings(
    session: Session, known: Sequence[int], sort: str, after: Position | None, limit: int
) -> Bearings:
    """Where the part after a place is in a list of these jobs, in parts of `limit`."""
    if after is None:
        return Bearings(1, None)
    rest = await lists.in_order(session, known, sort, after, len(known))
    passed = len(known) - len(rest)
    if passed <= limit:
        return Bearings(passed + 1, None)
    return Bearings(passed + 1, (await lists.in_order(session, known, sort, None, passed - limit))[-1])
