"""Rules: of which issues channels are told."""

from fastapi import APIRouter, Response

from scheduler_api.contracts.alerts.channels import Rule, RuleDraft, RulePreview
from scheduler_api.routers.http.dependencies import ActorDep, ChangesDep, DatabaseDep
from scheduler_api.routers.http.documentation import answers, back
from scheduler_api.routers.http.parameters import RuleId
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.services.alerts import channels

router = APIRouter(tags=["alerts"], route_class=StrictRoute)


@router.get("/rules", responses=answers(503))
async def list_rules(database: DatabaseDep) -> list[Rule]:
    """List the rules, oldest first."""
    return await database.read(channels.rules)


@router.post(
    "/rules",
    status_code=201,
    responses=answers(400, 408, 413, 415, 422, 503, status=201) | back("the channels"),
)
async def add_rule(draft: RuleDraft, changes: ChangesDep, actor: ActorDep) -> Rule:
    """Add a rule. It holds for what is noticed from now on.

    A channel is told of an issue once, however many rules are about it.
    """
    return await changes.make(channels.add_rule, actor, draft)


@router.get("/rules/{ruleid:int}/preview", responses=answers(404, 422, 503, page=True))
async def preview_rule(ruleid: RuleId, database: DatabaseDep) -> RulePreview:
    """Show which jobs a rule covers, and what it would have sent in the last 7 days."""
    return await database.read(channels.preview_rule, ruleid)


@router.post("/rules/preview", responses=answers(400, 408, 413, 415, 422, 503, page=True))
async def preview_new_rule(draft: RuleDraft, database: DatabaseDep) -> RulePreview:
    """Show the same of a rule before it is added."""
    return await database.read(channels.preview, draft)


@router.delete(
    "/rules/{ruleid:int}",
    status_code=204,
    response_class=Response,
    responses=answers(404, 422, 503, status=204),
)
async def remove_rule(ruleid: RuleId, changes: ChangesDep, actor: ActorDep) -> None:
    """Remove a rule. Of what it has told, it is still told that it is over."""
    await changes.make(channels.remove_rule, actor, ruleid)
