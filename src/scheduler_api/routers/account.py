"""Who asks."""

from fastapi import APIRouter

from scheduler_api.contracts.access.users import AccountSummary
from scheduler_api.routers.http.dependencies import PrincipalDep
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.routes import StrictRoute

router = APIRouter(tags=["access"], route_class=StrictRoute)


@router.get("/account", responses=answers(503, page=True))
async def show_account(principal: PrincipalDep) -> AccountSummary:
    """Tell who asks, and what they may do."""
    return AccountSummary(
        kind=principal.kind,
        name=principal.name,
        role=principal.roles.everywhere,
        projects=dict(principal.roles.projects),
    )
