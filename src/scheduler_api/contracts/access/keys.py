"""API keys: what programs show to come in."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from scheduler_api.actors import Role
from scheduler_api.contracts.values import Input, Instant, Output, clean_text

KeyName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(clean_text)
]
RoleName = Annotated[Role, Field(strict=False)]


class KeyDraft(Input):
    """A key to add."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "deploy", "role": "editor"}]})

    name: KeyName = Field(description="What it is for: 1 to 100 characters. Changes name it.")
    role: RoleName = Field(description="What it may do: `viewer`, `operator`, `editor` or `admin`.")
    expiresat: Instant | None = Field(None, description="When it stops working. Default: never.")


class Key(Output):
    """An API key, without what it is."""

    keyid: int
    name: str
    role: Role
    prefix: str = Field(description="How it begins.")
    createdat: datetime
    createdby: str | None = Field(description="Who added it.")
    expiresat: datetime | None
    lastused: datetime | None = Field(description="When it was last used, to the minute.")


class NewKey(Key):
    """A new key. It is shown only once."""

    key: str = Field(description="Send it as `Authorization: Bearer …`. It is not shown again.")
