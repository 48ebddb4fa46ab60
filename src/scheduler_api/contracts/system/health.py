"""Whether this replica is well."""

from typing import Any

from pydantic import Field

from scheduler_api.contracts.values import Output


class Health(Output):
    """The health of a part of the service."""

    status: str
    checks: dict[str, Any] = Field(default_factory=dict)
