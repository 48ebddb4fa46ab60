"""Issues of jobs and alerts on them: listed, acknowledged, sent again."""

from datetime import datetime

from scheduler_api.actors import Actor
from scheduler_api.contracts.alerts.alerts import Alert, AlertState
from scheduler_api.contracts.alerts.issues import Acknowledgement, IssueState, JobIssue
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.alerts import issues, outbox, told
from scheduler_api.database.alerts.issues import IssueFilter
from scheduler_api.database.alerts.told import AlertFilter, AlertRow
from scheduler_api.database.jobs import changes, definitions
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.errors import (
    AlertNotFound,
    FieldError,
    InvalidInput,
    IssueIsOver,
    IssueNotFound,
    NothingToRetry,
)
from scheduler_api.services.alerts import noticing

#: What somebody is called who has no name.
NOBODY = "local user"
#: Open issues are counted up to so many.
MAX_COUNTED = 10_000


async def listing(
    session: Session, state: IssueState, wanted: IssueFilter, before: int, limit: int
) -> list[JobIssue]:
    """Up to `limit` issues with an issueid below `before`, the newest first."""
    rows = await issues.listing(session, wanted, before, limit, is_open=state is IssueState.OPEN)
    return [JobIssue.model_validate(row._asdict()) for row in rows]


async def count_by_project(session: Session) -> dict[str, int]:
    """How many issues are open in each project, counted up to MAX_COUNTED in all."""
    return await issues.count_by_project(session, MAX_COUNTED)


async def get(session: Session, issueid: int) -> JobIssue:
    """An issue. Raises IssueNotFound."""
    row = await issues.by_id(session, issueid)
    if row is None:
        raise IssueNotFound(issueid)
    return JobIssue.model_validate(row._asdict())


async def acknowledge(
    session: Session, now: datetime, actor: Actor, issueid: int, order: Acknowledgement
) -> JobIssue:
    """Write down that somebody knows of an issue: nobody is reminded of it.

    Raises InvalidInput for an end that has passed, IssueNotFound, IssueIsOver.
    """
    if order.until is not None and order.until <= now:
        raise InvalidInput(FieldError(("until",), f"Must be later than now, {now:%Y-%m-%dT%H:%M:%SZ}."))
    issue = await get(session, issueid)
    who = actor.client or NOBODY
    if not await issues.acknowledge(session, now, issueid, who, order.until):
        raise IssueIsOver(f"Issue {issueid} is over.")
    said = order.model_dump(mode="json") | {"issueid": issueid, "kind": issue.kind}
    await changes.record(session, now, actor, Event(ChangeAction.ACKNOWLEDGED, issue.jobid, after=said))
    return await get(session, issueid)


async def close(session: Session, now: datetime, actor: Actor, issueid: int) -> JobIssue:
    """End an issue that nothing else will end, such as that of a job that is over.

    Raises IssueNotFound, IssueIsOver.
    """
    issue = await get(session, issueid)
    await definitions.lock(session, issue.jobid)
    issue = await get(session, issueid)
    if issue.endedat is not None:
        raise IssueIsOver(f"Issue {issueid} is over.")
    await noticing.closed(session, now, issue.jobid, issue.kind)
    said = {"issueid": issueid, "kind": issue.kind}
    await changes.record(session, now, actor, Event(ChangeAction.ISSUE_CLOSED, issue.jobid, after=said))
    return await get(session, issueid)


async def alerts(session: Session, wanted: AlertFilter, before: int, limit: int) -> list[Alert]:
    """Up to `limit` alerts with an alertid below `before`, the newest first."""
    return [_alert(row) for row in await told.listing(session, wanted, before, limit)]


def _alert(row: AlertRow) -> Alert:
    state = AlertState.WAITING if row.sentat is None else AlertState.SENT
    state = state if row.deadat is None else AlertState.DEAD
    return Alert.model_validate(row._asdict() | {"state": state})


async def redrive(session: Session, now: datetime, actor: Actor, alertid: int) -> None:
    """Send an alert again that was given up, with the others of its message.

    Raises AlertNotFound, NothingToRetry.
    """
    if await outbox.redrive(session, now, alertid):
        await changes.record(session, now, actor, Event(ChangeAction.REDRIVEN, after={"alertid": alertid}))
        return
    if not await told.is_there(session, alertid):
        raise AlertNotFound(alertid)
    raise NothingToRetry(f"Alert {alertid} was sent, is still being tried, or its channel was removed.")
