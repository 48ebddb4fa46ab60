"""Projects: what jobs, keys and roles belong to."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from scheduler_api.actors import Role
from scheduler_api.contracts.bodies import MAX_BODY
from scheduler_api.contracts.values import (
    Input,
    Output,
    ProjectName,
    clean_text,
    invalid,
    without_defaults,
)

Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(clean_text)]


class Quotas(Input):
    """How much a project may use; null: as much as there is."""

    maxjobs: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        10_000, description="Jobs that are not deleted."
    )
    maxbody: Annotated[int, Field(ge=1, le=MAX_BODY)] | None = Field(
        MAX_BODY, description="Bytes of a target's body, as JSON."
    )
    maxrequests: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        50,
        description="Requests a second to this service, on average over ten seconds, by each of its keys and "
        "users, at each replica.",
    )
    maxstreams: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        20, description="Open event streams of each of its keys and users, at each replica."
    )


class ProjectDraft(Quotas):
    """A project to add."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "billing", "maxjobs": 500}]})

    name: ProjectName = Field(description="1 to 50 lower-case letters, digits and hyphens.")
    description: Words = Field("", description="What it is for: up to 200 characters.")


class ProjectPatch(Quotas):
    """Changes to a project: what is left out stays as it is, a quota with null is lifted."""

    model_config = ConfigDict(
        json_schema_extra=lambda schema: without_defaults(schema, {"maxjobs": 500}, {"maxrequests": None})
    )

    description: Words = Field("", description="What it is for: up to 200 characters.")


class Project(Output):
    """A project, and how much it may use."""

    name: str
    description: str
    createdat: datetime
    maxjobs: int | None
    maxbody: int | None
    maxrequests: int | None
    maxstreams: int | None


def _no_admin(role: Role) -> Role:
    if role is Role.ADMIN:
        raise invalid("role", "Admins are so everywhere: give the role `admin` itself.")
    return role


ProjectRole = Annotated[Role, Field(strict=False), AfterValidator(_no_admin)]
ProjectRoles = Annotated[
    dict[ProjectName, ProjectRole],
    Field(max_length=100),
]
