"""Users: people who sign in."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from scheduler_api.actors import ActorKind, Role
from scheduler_api.contracts.access.keys import RoleName
from scheduler_api.contracts.access.projects import ProjectRoles
from scheduler_api.contracts.values import Input, Output, invalid, invalid_at

USER_NAME = re.compile(r"^[a-z0-9][a-z0-9._@+-]{0,99}$")
#: Characters of a password; argon2 takes as long whatever the length.
MIN_PASSWORD, MAX_PASSWORD = 12, 200


def _user_name(value: str) -> str:
    if not USER_NAME.fullmatch(value):
        raise invalid(
            "user", "Must be 1 to 100 lower-case letters, digits and . _ @ + -, such as anna@example.com."
        )
    return value


UserName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True),
    AfterValidator(_user_name),
    WithJsonSchema({"type": "string", "pattern": USER_NAME.pattern}),
]


class UserDraft(Input):
    """A user to add."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "anna@example.com", "role": "operator"}]}
    )

    name: UserName = Field(description="The name to sign in with, such as an e-mail address.")
    role: RoleName | None = Field(
        None,
        description="What they may do everywhere: `metrics`, `viewer`, `operator`, `editor` or `admin`.",
    )
    projects: ProjectRoles = Field(
        default_factory=dict, description="What they may do in single projects, by the names of these."
    )

    @model_validator(mode="after")
    def _may_do_something(self) -> "UserDraft":
        if self.role is None and not self.projects:
            raise invalid_at("role", "Give a role, or roles in projects.")
        return self


class UserPatch(Input):
    """A change to a user: what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"role": "admin"}, {"projects": {"billing": "editor"}}]}
    )

    role: RoleName | None = Field(
        None, description="What they may do everywhere; null: only what `projects` says."
    )
    projects: ProjectRoles | None = Field(
        None, description="What they may do in single projects; in all others, nothing but for `role`."
    )


class User(Output):
    """A user."""

    userid: int
    name: str
    role: Role | None = Field(description="What they may do everywhere; null: only what `projects` says.")
    projects: dict[str, Role] = Field(description="What they may do in single projects.")
    createdat: datetime
    lastseen: datetime | None = Field(description="When they last did something, to the minute.")
    haspassword: bool = Field(description="Whether they have set a password.")
    issuer: str | None = Field(
        description="The identity provider that signs them in, and whose groups decide on the role; null: "
        "this service does."
    )


class Invitation(Output):
    """A link that lets a user in once."""

    user: User
    link: str = Field(description="Where the user sets a password. It works once, and is not shown again.")
    expiresat: datetime


class AccountSummary(Output):
    """Who asks."""

    kind: ActorKind
    name: str | None
    role: Role | None = Field(description="What they may do everywhere; null: only what `projects` says.")
    projects: dict[str, Role] = Field(description="What they may do in single projects.")
