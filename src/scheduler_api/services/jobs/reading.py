"""Jobs, their changes and their logs, as they are shown."""

from collections.abc import Mapping, Sequence
from typing import Any

from scheduler_api.computing import in_turns
from scheduler_api.contracts.jobs.changes import Change, ChangeAction
from scheduler_api.contracts.jobs.job import Job, JobSummary
from scheduler_api.contracts.runs.logs import JobWithLogs, Log
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.database.jobs import changes, definitions, lists
from scheduler_api.database.jobs.definitions import NamedJob
from scheduler_api.database.jobs.lists import JobFilter
from scheduler_api.database.runs import lists as log_lists
from scheduler_api.database.runs.lists import LogFilter
from scheduler_api.database.statements import Session
from scheduler_api.errors import JobNotFound

#: What a job's version counts.
VERSIONED = {
    ChangeAction.EDITED,
    ChangeAction.PAUSED,
    ChangeAction.RESUMED,
    ChangeAction.SKIPPED,
    ChangeAction.DELETED,
}


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
    rows = await log_lists.page(session, wanted, limit)
    return await in_turns(lambda row: Log.model_validate(vars(row)), rows)


async def count_jobs(session: Session, wanted: JobFilter, most: int) -> int:
    """How many jobs there are; up to `most`."""
    return await lists.count(session, wanted, most)


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


async def changes_since(session: Session, job: Job, version: int) -> list[Change]:
    """The newest changes that made the job, as it stands, of an earlier version; up to 20, newest first."""
    newest = await newest_changes(session, job.jobid, MAX_ID, 20)
    counted = (sum(other.action in VERSIONED for other in newest[:index]) for index in range(len(newest)))
    return [change for change, later in zip(newest, counted, strict=True) if later < job.version - version]


async def listing(
    session: Session,
    wanted: JobFilter,
    sort: str,
    after: tuple[int, Any] | None,
    limit: int,
) -> list[JobSummary]:
    """Up to `limit` jobs, in order, after a place in it."""
    rows = await lists.page(session, wanted, sort, after, limit)
    return await in_turns(lambda row: JobSummary.model_validate(vars(row)), rows)
