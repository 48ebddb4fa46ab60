"""Changes of a job: who made them, when, and what differs."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field


class ChangeAction(StrEnum):
    """What was done to a job. `repaired`: its next run was missing, or later than its schedule."""

    CREATED = "created"
    EDITED = "edited"
    PAUSED = "paused"
    RESUMED = "resumed"
    SKIPPED = "skipped"
    DELETED = "deleted"
    REPAIRED = "repaired"


class Change(BaseModel):
    """A change to a job."""

    changeid: int
    jobid: int
    at: datetime
    action: ChangeAction
    client: str | None = Field(description="Who made it, if known; null: the service itself.")
    before: Annotated[
        dict[str, Any] | None,
        Field(
            description="The changed fields before; of a target, only those of its fields. Header values are "
            "not kept; of a body over 1 KB, only its size and digest."
        ),
    ]
    after: Annotated[dict[str, Any] | None, Field(description="The changed fields after.")]
