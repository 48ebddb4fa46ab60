"""Whether this replica is well."""

from typing import Any

from pydantic import BaseModel, Field


class Health(BaseModel):
    """The health of a part of the service."""

    status: str
    checks: dict[str, Any] = Field(default_factory=dict)
