"""What pages show: read in one unit of work each, with one statement for each thing that is shown."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from scheduler_api.contracts.alerts.channels import Rule
from scheduler_api.contracts.alerts.issues import IssueState, JobIssue, JobIssueKind
from scheduler_api.contracts.history.timeline import Recent, Timeline, TimeRange
from scheduler_api.contracts.jobs.changes import Change
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.jobs.secrets import Secret
from scheduler_api.contracts.runs.attempts import LogWithAttempts
from scheduler_api.contracts.runs.logs import JobWithLogs, LogSort
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.database.alerts.issues import IssueFilter
from scheduler_api.database.jobs import definitions as rows
from scheduler_api.database.jobs import groups, monitors
from scheduler_api.database.jobs.definitions import NamedJob
from scheduler_api.database.jobs.groups import PausedTogether, TagCount
from scheduler_api.database.jobs.lists import JobFilter, Position
from scheduler_api.database.jobs.rows import JobRow
from scheduler_api.database.runs.lists import LogFilter
from scheduler_api.database.runs.ordered import ListOrder
from scheduler_api.database.statements import Session
from scheduler_api.errors import JobNotFound
from scheduler_api.services.alerts import channels, issues
from scheduler_api.services.history import listing, timeline
from scheduler_api.services.jobs import reading, secrets
from scheduler_api.services.jobs.reading import Bearings, FoundJobs, FoundLogs
from scheduler_api.services.runs import retrying
from scheduler_api.services.system import health

#: How many changes the page of a job shows.
SHOWN_CHANGES = 10
#: How many orders to pause many jobs the list of jobs shows.
SHOWN_BATCHES = 5
#: And how many tags.
SHOWN_TAGS = 12
#: Of each kind there is one at most.
SHOWN_ISSUES = len(JobIssueKind)


class JobsView(NamedTuple):
    """A page of the list of jobs."""

    now: datetime
    found: FoundJobs
    recent: Mapping[int, Sequence[Recent]]
    """The newest runs of those that are shown, by jobid."""
    paused: Sequence[PausedTogether]
    """What orders to many jobs have paused; on the first page."""
    tags: Sequence[TagCount]
    """Those of most of the jobs that are found."""
    bearings: Bearings | None
    """Where in the list the page is; None: of so many it is not known."""


class JobView(NamedTuple):
    """The page of a job."""

    now: datetime
    row: JobRow
    """What is known of it, for the runs to come."""
    job: JobWithLogs
    """With one more log than asked for, where there are older ones."""
    changes: list[Change]
    secrets: list[Secret]
    timeline: Timeline | None
    """None where older logs are shown."""
    issues: list[JobIssue]
    """Those that are open."""
    rules: list[Rule]
    """Those that cover it."""
    monitortoken: UUID | None
    """The secret part of the address at which its runs are reported; None: it is no monitor."""

    @property
    def is_first(self) -> bool:
        """Whether the newest logs are shown."""
        return self.timeline is not None


class LogView(NamedTuple):
    """The page of a run."""

    now: datetime
    job: Job
    found: LogWithAttempts


class RunsView(NamedTuple):
    """A page of the list of runs."""

    now: datetime
    wanted: LogFilter
    sort: LogSort
    limit: int
    found: FoundLogs
    names: Mapping[int, NamedJob]
    """What their jobs are called, by jobid."""
    failed: int | None
    """How many can be tried again; None: nobody asked."""


async def of_jobs(
    session: Session,
    wanted: JobFilter,
    sort: str,
    after: Position | None,
    limit: int,
) -> JobsView:
    """`limit` jobs, in order, after a place in it."""
    now = await health.clock(session)
    found = await reading.listing(session, wanted, sort, after, limit)
    recent = await timeline.recent(session, [job.jobid for job in found.jobs])
    paused = [] if after else await groups.paused_together(session, wanted.projects, SHOWN_BATCHES)
    tags = await groups.tags_of(session, found.known, SHOWN_TAGS)
    place = await reading.bearings(session, found.known, sort, after, limit) if found.known else None
    return JobsView(now, found, recent, paused, tags, place)


async def of_job(
    session: Session, jobid: int, limit: int, before: int | None, span: TimeRange | None
) -> JobView:
    """A job with `limit` logs, newest first; with `before`, older than that logid. Raises JobNotFound.

    Without a `span`, charts show what suits how often it runs.
    """
    now = await health.clock(session)
    row = await rows.one(session, jobid)
    if row is None:
        raise JobNotFound(jobid)
    job = Job.model_validate(vars(row))
    logs = await reading.list_logs(session, LogFilter(jobid=jobid, before=before), limit + 1)
    return JobView(
        now,
        row,
        JobWithLogs(job=job, logs=logs),
        await reading.newest_changes(session, jobid, MAX_ID, SHOWN_CHANGES),
        await secrets.kept(session, jobid) if job.target is not None else [],
        await timeline.timeline(session, now, jobid, span or timeline.usual_span(job.interval, logs))
        if before is None
        else None,
        await _open_issues(session, row),
        await channels.rules_for(session, jobid),
        await monitors.token_of(session, jobid) if job.monitor is not None else None,
    )


async def _open_issues(session: Session, row: JobRow) -> list[JobIssue]:
    if not row.openissues:
        return []
    return await issues.listing(session, IssueState.OPEN, IssueFilter(jobid=row.jobid), MAX_ID, SHOWN_ISSUES)


async def of_log(session: Session, logid: int) -> LogView:
    """A run with its attempts. Raises LogNotFound."""
    found = await retrying.get_log(session, logid)
    return LogView(await health.clock(session), await reading.get(session, found.log.jobid), found)


async def of_runs(
    session: Session, wanted: LogFilter, order: ListOrder, limit: int, failed: LogFilter | None
) -> RunsView:
    """`limit` logs in an order; those that have `failed` are counted, if that is asked for."""
    found = await listing.find_runs(session, wanted, order, limit)
    names = await reading.names(session, sorted({log.jobid for log in found.logs}))
    count = None if failed is None else await retrying.count_failed(session, failed)
    return RunsView(await health.clock(session), wanted, order.sort, limit, found, names, count)
