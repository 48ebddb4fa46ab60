"""API keys: what programs show to come in."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from scheduler_api.actors import Role
from scheduler_api.contracts.values import Input, Instant, Output, ProjectName, clean_text, invalid_at

KeyName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(clean_text)
]
RoleName = Annotated[Role, Field(strict=False)]


class KeyDraft(Input):
    """A key to add."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "deploy", "role": "editor"}]})

    name: KeyName = Field(description="What it is for: 1 to 100 characters. Changes name it.")
    role: RoleName = Field(description="What it may do: `metrics`, `viewer`, `operator`, `editor`, `admin`.")
    project: ProjectName | None = Field(
        None, description="Where it may do so. Default: everywhere. Admins are so everywhere."
    )
    expiresat: Instant | None = Field(None, description="When it stops working. Default: never.")

    @model_validator(mode="after")
    def _admins_are_so_everywhere(self) -> "KeyDraft":
        if self.project is not None and self.role is Role.ADMIN:
            raise invalid_at("project", "An admin is so everywhere; leave the project out.")
        return self


class Key(Output):
    """An API key, without what it is."""

    keyid: int
    name: str
    role: Role
    project: str | None = Field(description="Where it may do so; null: everywhere.")
    prefix: str = Field(description="How it begins.")
    createdat: datetime
    createdby: str | None = Field(description="Who added it.")
    expiresat: datetime | None
    lastused: datetime | None = Field(description="When it was last used, to the minute.")


class NewKey(Key):
    """A new key. It is shown only once."""

    key: str = Field(description="Send it as `Authorization: Bearer …`. It is not shown again.")
