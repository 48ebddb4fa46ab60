"""Why a job did, or did not, run at an instant."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from scheduler_api.contracts.jobs.schedules import Occurrence
from scheduler_api.contracts.runs.logs import Log


class ExplanationOutcome(StrEnum):
    """What became of an instant, in a word."""

    RAN = "ran"
    FAILED = "failed"
    SKIPPED = "skipped"
    COUNTED = "counted"
    RUNNING = "running"
    SCHEDULED = "scheduled"
    EXPECTED = "expected"
    PAUSED = "paused"
    NOT_SCHEDULED = "not-scheduled"
    NOT_CREATED = "not-created"
    COMPLETED = "completed"
    DELETED = "deleted"
    MISSING = "missing"


class Explanation(BaseModel):
    """Why a job did, or did not, run at an instant."""

    at: datetime
    outcome: ExplanationOutcome = Field(
        description="`ran`, `failed`, `skipped`, `counted` (covered by another run), `running`, "
        "`scheduled`, `expected` (still to come), `paused`, `not-scheduled`, `not-created`, `completed`, "
        "`deleted`, or `missing` (there is no record of it)."
    )
    sentence: str = Field(description="The answer, for people.")
    schedule: str = Field(description="The schedule that held then, in words.")
    scheduled: bool = Field(description="Whether the schedule calls for this instant.")
    note: str | None = Field(description="What is special: daylight saving, or an excluded date.")
    logs: list[Log] = Field(description="The logs that tell of it.")
    before: Occurrence | None = Field(description="The nearest occurrence before it.")
    after: Occurrence | None = Field(description="The nearest occurrence after it.")
