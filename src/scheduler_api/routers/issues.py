"""Issues of jobs: what is wrong with them, or was."""

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from scheduler_api.contracts.alerts.issues import Acknowledgement, IssueState, JobIssue
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.routers.http.dependencies import ActorDep, ChangesDep, DatabaseDep
from scheduler_api.routers.http.documentation import answers, back
from scheduler_api.routers.http.paging import IssueFilterDep, link_next
from scheduler_api.routers.http.parameters import LIST_LIMIT, Cursor, IssueId, Limit
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.alerts import issues

router = APIRouter(tags=["alerts"], route_class=StrictRoute)


@router.get("/issues", responses=answers(422, 503, headers=["Link"], page=True))
async def list_issues(
    request: Request,
    response: Response,
    database: DatabaseDep,
    wanted: IssueFilterDep,
    state: IssueState = IssueState.OPEN,
    cursor: Cursor = None,
    limit: Limit = LIST_LIMIT,
) -> list[JobIssue]:
    """List the issues of jobs, newest first: open ones, or with `state=ended` those that are over."""
    found = await database.read(issues.listing, state, wanted, cursor or MAX_ID, limit + 1)
    if found[limit:]:
        link_next(request, response, cursor=found[limit - 1].issueid)
    return found[:limit]


@router.get("/issues/{issueid}", responses=answers(404, 422, 503, page=True))
async def show_issue(issueid: IssueId, database: DatabaseDep) -> JobIssue:
    """Get an issue."""
    return await database.read(issues.get, issueid)


@router.post(
    "/issues/{issueid}/acknowledge",
    responses=answers(400, 404, 408, 409, 413, 415, 422, 503) | back("the issue"),
)
async def acknowledge_issue(
    issueid: IssueId,
    order: Annotated[Acknowledgement, Body(default_factory=Acknowledgement)],
    changes: ChangesDep,
    actor: ActorDep,
) -> JobIssue:
    """Acknowledge an open issue: no reminders are sent. A message is still sent when it is over."""
    return await changes.make(issues.acknowledge, actor, issueid, order)


@router.post("/issues/{issueid}/close", responses=answers(404, 409, 422, 503) | back("the issue"))
async def close_issue(issueid: IssueId, changes: ChangesDep, actor: ActorDep) -> JobIssue:
    """Close an open issue. Its channels are told, and what is noticed from then on opens another."""
    return await changes.make(issues.close, actor, issueid)
