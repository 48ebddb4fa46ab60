"""Whether this replica is well."""

from typing import Any

from pydantic import BaseModel, Field


class Health(BaseModel):
    """How a part of the service does."""

    status: str
    checks: dict[str, Any] = Field(default_factory=dict)
