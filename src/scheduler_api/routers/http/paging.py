"""Filters, orders and places of lists, as queries write them."""

from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from scheduler_api.actors import ActorKind
from scheduler_api.contracts.access.audit import OBJECTS, AuditObject
from scheduler_api.contracts.alerts.issues import JobIssueKind
from scheduler_api.contracts.history.performance import PerformanceSort
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.jobs.job import Condition, JobSort, LastStatus
from scheduler_api.contracts.runs.logs import LogCause, LogSort, LogStatus
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.database.access.projects import project_of_job
from scheduler_api.database.alerts.issues import IssueFilter
from scheduler_api.database.jobs.changes import ChangeFilter
from scheduler_api.database.jobs.lists import JobFilter, Position
from scheduler_api.database.runs.lists import LogFilter
from scheduler_api.database.runs.ordered import ListOrder, RunPlace
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.dependencies import DatabaseDep, times_of
from scheduler_api.routers.http.instants import UntilInstant, query_instant, with_offset
from scheduler_api.routers.http.routes import wants_page
from scheduler_api.routers.http.scope import ProjectsDep
from scheduler_api.services.jobs.reading import MAX_COUNTED

#: No job is called so.
NO_JOB = 0
#: More than any run takes.
MAX_SECONDS = 1e9

Name = Annotated[str | None, Query(max_length=100, description="Only jobs whose name contains this.")]
Search = Annotated[
    str | None,
    Query(
        max_length=100,
        description="Only jobs whose name, host, cron or one tag contains this, or that have this id.",
    ),
]
InState = Annotated[
    Condition | None,
    Query(
        description="Only jobs in this state; or active ones that are `running`, `failing` (their last "
        "run failed) or `overdue`. Deleted ones show only if asked for."
    ),
]
WithLast = Annotated[LastStatus | None, Query(description="Only jobs whose last run is so.")]
WithPause = Annotated[UUID | None, Query(description="Only jobs that this order to many jobs paused.")]
WithTag = Annotated[str | None, Query(max_length=50, description="Only jobs with this tag.")]

InProject = Annotated[str | None, Query(max_length=50, description="Only jobs of this project.")]


async def _job_filter(
    projects: ProjectsDep,
    name: Name = None,
    search: Search = None,
    state: InState = None,
    laststatus: WithLast = None,
    tag: WithTag = None,
    project: InProject = None,
    pauseid: WithPause = None,
) -> JobFilter:
    check_texts(name=name, search=search, tag=tag, project=project)
    return JobFilter(
        name or None,
        search or None,
        state,
        laststatus,
        tag or None,
        project or None,
        pauseid=pauseid,
        projects=projects,
    )


def check_texts(**texts: str | None) -> None:
    """Refuse what no text of the database has."""
    for name, text in texts.items():
        if text is not None and "\0" in text:
            raise InvalidInput(FieldError((f"?{name}",), "Must not contain control characters."))


JobFilterDep = Annotated[JobFilter, Depends(_job_filter)]
"""Which jobs a query asks for."""

Status = Annotated[LogStatus | None, Query(description="Only logs with this status.")]
Cause = Annotated[LogCause | None, Query(description="Only logs with this cause.")]
OfHost = Annotated[str | None, Query(max_length=260, description="Only calls to this host.")]
MinDuration = Annotated[
    float | None, Query(ge=0, le=MAX_SECONDS, description="Only runs that took at least this many seconds.")
]
MaxDuration = Annotated[
    float | None, Query(ge=0, le=MAX_SECONDS, description="Only runs that took less than this many seconds.")
]
Since = Annotated[
    str | None, Query(max_length=40, description="Only occurrences from this instant on (RFC 3339).")
]
Until = Annotated[
    str | None, Query(max_length=40, description="Only occurrences before this instant (RFC 3339).")
]


class LogQuery(NamedTuple):
    """What of a log a query may ask for beside its time."""

    status: LogStatus | None
    cause: LogCause | None
    tag: str | None
    project: str | None
    host: str | None
    longer: float | None
    shorter: float | None


async def _log_query(
    status: Status = None,
    cause: Cause = None,
    tag: WithTag = None,
    project: InProject = None,
    host: OfHost = None,
    minduration: MinDuration = None,
    maxduration: MaxDuration = None,
) -> LogQuery:
    check_texts(tag=tag, host=host, project=project)
    return LogQuery(status, cause, tag or None, project or None, host or None, minduration, maxduration)


async def _log_filter(
    request: Request,
    asked: Annotated[LogQuery, Depends(_log_query)],
    since: Since = None,
    until: Until = None,
) -> LogFilter:
    texts = {"since": since, "until": until}
    if wants_page(request):
        zone = times_of(request).zone()
        texts = {name: text and with_offset(text, zone) for name, text in texts.items()}
    span = {name: None if text is None else query_instant(name, text) for name, text in texts.items()}
    return LogFilter(since=span["since"], until=span["until"], **asked._asdict())


LogFilterDep = Annotated[LogFilter, Depends(_log_filter)]
"""Which runs of a job a query asks for."""


async def _any_log_filter(
    wanted: LogFilterDep,
    projects: ProjectsDep,
    database: DatabaseDep,
    name: Annotated[
        str | None, Query(max_length=100, description="Only runs of jobs whose name contains this.")
    ] = None,
    jobid: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only logs of this job.")] = None,
) -> LogFilter:
    check_texts(name=name)
    wanted = wanted._replace(name=name or None)
    if jobid is None or projects is None:
        return wanted._replace(jobid=jobid, projects=projects)
    # A search would tell by how far it comes how many runs another's job has.
    is_theirs = await database.read(project_of_job, jobid) in projects
    return wanted._replace(jobid=jobid if is_theirs else NO_JOB)


AnyLogFilterDep = Annotated[LogFilter, Depends(_any_log_filter)]
"""Which runs of all jobs a query asks for."""


async def _run_order(
    request: Request,
    status: Status = None,
    sort: Annotated[
        LogSort | None,
        Query(
            description="The order: newest first by `logid` (the default) or by when they `ended`; by "
            "`duration`, slowest first, among the newest 20,000 or so; or pending runs by `nextrun`, soonest "
            "first. By `ended` and `duration`, runs in progress come first, and pending ones are left out."
        ),
    ] = None,
    cursor: Annotated[
        str | None,
        Query(
            pattern=r"^\d{1,19}(:.*)?$",
            max_length=100,
            description="Where the list goes on, as its `Link` header says.",
        ),
    ] = None,
) -> ListOrder:
    if sort is None:
        sort = _usual_order(status) if wants_page(request) else LogSort.LOGID
    if sort is LogSort.NEXTRUN and status not in {None, LogStatus.PENDING}:
        raise InvalidInput(FieldError(("?sort",), "Only pending runs have a next run."))
    if cursor is None:
        return ListOrder(sort, None, None)
    number, _, instant = cursor.partition(":")
    logid = int(number)
    if logid > MAX_ID or bool(instant) is (sort is LogSort.LOGID):
        raise InvalidInput(FieldError(("?cursor",), "Not a valid cursor for this list."))
    if sort is LogSort.LOGID:
        return ListOrder(sort, logid, None)
    return ListOrder(sort, None, RunPlace(query_instant("cursor", instant), logid))


def _usual_order(status: LogStatus | None) -> LogSort:
    """The order of a page: what has run by when it did, what is to come by when it will."""
    if status is LogStatus.RUNNING:
        return LogSort.LOGID
    return LogSort.NEXTRUN if status is LogStatus.PENDING else LogSort.ENDED


RunOrderDep = Annotated[ListOrder, Depends(_run_order)]


def run_cursor(place: int | RunPlace) -> str:
    """A place in a list of runs, for the query of the next page."""
    return str(place) if isinstance(place, int) else f"{place.logid}:{place.at.isoformat()}"


async def _issue_filter(
    projects: ProjectsDep,
    kind: Annotated[JobIssueKind | None, Query(description="Only issues of this kind.")] = None,
    jobid: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only issues of this job.")] = None,
    project: InProject = None,
) -> IssueFilter:
    check_texts(project=project)
    if project:
        projects = [project] if projects is None or project in projects else []
    return IssueFilter(kind, jobid, projects)


IssueFilterDep = Annotated[IssueFilter, Depends(_issue_filter)]
"""Which issues a query asks for."""


async def _change_filter(
    actor: Annotated[
        ActorKind | None, Query(description="By whom: `user`, `key`, `local` or `schedule`.")
    ] = None,
    client: Annotated[
        str | None, Query(max_length=300, description="The name of the user or of the key.")
    ] = None,
    address: Annotated[str | None, Query(max_length=50, description="From where it came.")] = None,
    project: Annotated[str | None, Query(max_length=50, description="In which project.")] = None,
    thing: Annotated[
        AuditObject | None,
        Query(alias="object", description="To what: `job`, `run`, `user`, `key` and so on."),
    ] = None,
    action: Annotated[ChangeAction | None, Query(description="What was done.")] = None,
    jobid: Annotated[int | None, Query(ge=1, le=MAX_ID, description="To which job.")] = None,
    since: Annotated[str | None, Query(max_length=40, description="At this instant, or later.")] = None,
    until: Annotated[str | None, Query(max_length=40, description="Before this instant.")] = None,
) -> ChangeFilter:
    check_texts(client=client, address=address, project=project)
    actions = None if action is None else {action}
    if thing is not None:
        of_thing = {one for one, of in OBJECTS.items() if of is thing}
        actions = of_thing if actions is None else actions & of_thing
    return ChangeFilter(
        actor,
        client,
        address,
        project,
        None if actions is None else sorted(actions),
        jobid,
        None if since is None else query_instant("since", since),
        None if until is None else query_instant("until", until),
    )


ChangeFilterDep = Annotated[ChangeFilter, Depends(_change_filter)]
"""What of everything that was done a query asks for."""


PerformanceOrder = Annotated[PerformanceSort, Query(description="The order, highest first.")]


class Ahead(NamedTuple):
    """Which occurrences to come a query asks for."""

    since: datetime | None
    until: datetime | None
    wanted: JobFilter


async def _ahead(
    until: UntilInstant,
    projects: ProjectsDep,
    since: Annotated[
        str | None,
        Query(max_length=40, description="From when on (RFC 3339), for an hour unless `until` says more."),
    ] = None,
    name: Name = None,
    tag: WithTag = None,
) -> Ahead:
    check_texts(name=name, tag=tag)
    wanted = JobFilter(name or None, tag=tag or None, projects=projects)
    return Ahead(None if since is None else query_instant("since", since), until, wanted)


AheadDep = Annotated[Ahead, Depends(_ahead)]


#: Orders by an instant, and by a number.
BY_INSTANT = {JobSort.NEXTRUN, JobSort.NEXTRUN_DOWN, JobSort.LASTRUN, JobSort.LASTRUN_DOWN}
BY_NUMBER = {JobSort.DURATION, JobSort.DURATION_DOWN}


def cursor_of(sort: JobSort, position: Position) -> str:
    """A job's position in an order, for the query of the next page."""
    if sort in {JobSort.JOBID, JobSort.NEWEST}:
        return str(position.jobid)
    if sort in BY_INSTANT:
        return f"{position.jobid}:{position.key.isoformat() if position.key else ''}"
    return f"{position.jobid}:{'' if position.key is None else position.key}"


def position_of(sort: JobSort, cursor: str | None) -> Position | None:
    """The position that a query names. Raises InvalidInput."""
    if cursor is None:
        return None
    number, _, key = cursor.partition(":")
    jobid = int(number)
    if jobid > MAX_ID or "\0" in key:
        raise InvalidInput(FieldError(("?cursor",), "Not a valid cursor for this list."))
    if sort not in BY_INSTANT | BY_NUMBER:
        return Position(jobid, key)
    if not key:
        return Position(jobid, None)
    try:
        return Position(
            jobid, float(key) if sort in BY_NUMBER else datetime.fromisoformat(key).astimezone(UTC)
        )
    except (ValueError, OverflowError):
        raise InvalidInput(FieldError(("?cursor",), "Not a valid cursor for this list.")) from None


class Place(NamedTuple):
    """Where a list of jobs goes on."""

    sort: JobSort
    after: Position | None


async def _place(
    sort: Annotated[
        JobSort,
        Query(
            description="The order; with a minus, from the other end. By `lastrun`, `schedule` and "
            "`-nextrun`, up to 1,000 jobs, or 20,000 of a tag; by `duration` of the newest run, up to 1,000."
        ),
    ] = JobSort.JOBID,
    cursor: Annotated[
        str | None,
        Query(
            pattern=r"^\d{1,19}(:.*)?$",
            max_length=600,
            description="Where the list goes on, as its `Link` header says.",
        ),
    ] = None,
) -> Place:
    return Place(sort, position_of(sort, cursor))


PlaceDep = Annotated[Place, Depends(_place)]


def link_next(request: Request, response: Response, **place: Any) -> str:
    """Say that a list goes on at the address of this request, with some of its query changed; the address."""
    kept = {name: value for name, value in request.query_params.items() if name not in place}
    query = {name: str(value) for name, value in place.items()} | kept
    further = f"{request.url.path}?{urlencode(query)}"
    response.headers["Link"] = f'<{further}>; rel="next"'
    return further


def tell_count(response: Response, count: int, *, is_all: bool) -> None:
    """Say how many there are in a list, or that there are more than are counted."""
    response.headers["Total-Count"] = str(min(count, MAX_COUNTED))
    response.headers["Total-Count-Complete"] = str(is_all).lower()
