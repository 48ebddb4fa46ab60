"""Projects: what jobs, keys and roles belong to."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from scheduler_api.actors import Role
from scheduler_api.contracts.values import Input, Output, ProjectName, clean_text, invalid

Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(clean_text)]


class ProjectDraft(Input):
    """A project to add."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "billing"}]})

    name: ProjectName = Field(description="1 to 50 lower-case letters, digits and hyphens.")
    description: Words = Field("", description="What it is for: up to 200 characters.")


class Project(Output):
    """A project."""

    name: str
    description: str
    createdat: datetime


def _no_admin(role: Role) -> Role:
    if role is Role.ADMIN:
        raise invalid("role", "Admins are so everywhere: give the role `admin` itself.")
    return role


ProjectRole = Annotated[Role, Field(strict=False), AfterValidator(_no_admin)]
ProjectRoles = Annotated[
    dict[ProjectName, ProjectRole],
    Field(max_length=100),
]
