"""Changes of a job: who made them, when, and what differs."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field


class ChangeAction(StrEnum):
    """What was done to a job. `repaired`: its next run was missing, or later than the schedule says."""

    CREATED = "created"
    EDITED = "edited"
    PAUSED = "paused"
    RESUMED = "resumed"
    SKIPPED = "skipped"
    DELETED = "deleted"
    REPAIRED = "repaired"


class Change(BaseModel):
    """A change of a job."""

    changeid: int
    jobid: int
    at: datetime
    action: ChangeAction
    client: str | None = Field(description="Who asked for it, as far as known; null: the service itself.")
    before: Annotated[
        dict[str, Any] | None,
        Field(
            description="What it changed, as it was; of a target, those of its fields. Values of headers are "
            "not kept, and of a body above 1 KB its size and digest."
        ),
    ]
    after: Annotated[dict[str, Any] | None, Field(description="What it changed, as it became.")]
