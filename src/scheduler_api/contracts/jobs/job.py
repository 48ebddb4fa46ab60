"""Jobs as they stand."""

from datetime import date, datetime, time
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from scheduler_api.contracts.jobs.drafts import After
from scheduler_api.contracts.jobs.targets import Target, TargetSummary, stored
from scheduler_api.schedule import Fold, Gap, Misfire


class JobState(StrEnum):
    """What a job is at the moment."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    DELETED = "deleted"


class Condition(StrEnum):
    """What lists can be narrowed down to: a state, or what an active job is doing."""

    ACTIVE = "active"
    RUNNING = "running"
    FAILING = "failing"
    OVERDUE = "overdue"
    PAUSED = "paused"
    COMPLETED = "completed"
    DELETED = "deleted"


class LastStatus(StrEnum):
    """How far the last run of a job has come."""

    PENDING = "pending"
    """It waits for another attempt."""
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class JobSort(StrEnum):
    """The orders of the list of jobs."""

    JOBID = "jobid"
    NEWEST = "-jobid"
    JOBNAME = "jobname"
    NEXTRUN = "nextrun"


def _stored(value: Any) -> Any:
    return stored(value) if isinstance(value, dict) else value


class JobSummary(BaseModel):
    """A job as it stands, as lists tell of it: without the headers and the body of its target."""

    model_config = ConfigDict(json_schema_extra={"required": []})

    jobid: int
    jobname: str
    startdate: date | None
    starttime: Annotated[time, WithJsonSchema({"type": "string", "pattern": r"^\d{2}:\d{2}:\d{2}$"})] | None
    timezone: str
    repeat: bool
    interval: int | None
    cron: str | None
    after: After | None
    until: datetime | None
    maxruns: int | None
    exclude: list[str]
    dstgap: Gap
    dstfold: Fold
    jitter: int
    misfire: Misfire
    grace: int
    tags: list[str]
    target: TargetSummary | None
    overlap: bool
    concurrency: int | None
    autopause: int | None
    active: bool = Field(description="Whether the job is scheduled.")
    state: JobState = Field(
        description="`active`; `paused`; `completed`: its schedule has no further run; or `deleted`."
    )
    pausedat: datetime | None
    pausereason: str | None
    pauseduntil: datetime | None = Field(description="When a paused job resumes automatically.")
    pauseid: UUID | None = Field(description="The order to many jobs that paused it; null: it was alone.")
    nextrun: datetime | None = Field(description="When the job will run next; null: not at all.")
    lastrun: datetime | None = Field(
        description="When it ran last, whatever made it run; what was skipped is no run. Null: never yet."
    )
    laststatus: LastStatus | None = Field(
        description="How that run ended, or that it is `running`, or `pending`: it waits for another attempt."
    )
    version: int = Field(description="How often people have changed it; the number in its ETag.")
    createdat: datetime


class Job(JobSummary):
    """A job as it stands."""

    target: Annotated[Target | None, BeforeValidator(_stored)]
