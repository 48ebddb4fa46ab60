"""Why a job did, or did not, run at an instant."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from scheduler_api.contracts.history.timeline import DayTally
from scheduler_api.contracts.jobs.schedules import Occurrence
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.contracts.values import Output


class ExplanationOutcome(StrEnum):
    """What happened at an instant."""

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
    BEFORE_HISTORY = "before-history"


class Explanation(Output):
    """Why a job did or did not run at an instant."""

    at: datetime
    outcome: ExplanationOutcome = Field(
        description="`ran`, `failed`, `skipped`, `counted` (covered by another run), `running`, "
        "`scheduled`, `expected` (in the future), `paused`, `not-scheduled`, `not-created`, `completed`, "
        "`deleted`, `missing` (no record), or `before-history` (no longer kept)."
    )
    sentence: str = Field(description="The explanation, as a sentence.")
    schedule: str = Field(
        description="The schedule at that time, in words. Before the history that is kept: the first known."
    )
    scheduled: bool = Field(description="Whether the schedule includes this instant.")
    note: str | None = Field(description="Daylight saving, or an excluded date.")
    logs: list[Log] = Field(description="The runs that account for it.")
    tally: DayTally | None = Field(
        description="The results of that day (UTC), if it is before the history that is kept."
    )
    before: Occurrence | None = Field(description="The previous occurrence.")
    after: Occurrence | None = Field(description="The next occurrence.")
