"""Jobs as they stand."""

from datetime import date, datetime, time
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from scheduler_api.contracts.jobs.credentials import masked
from scheduler_api.contracts.jobs.fields import After, Monitor, Record
from scheduler_api.contracts.jobs.targets import Target, TargetSummary, stored
from scheduler_api.contracts.values import Output, all_given
from scheduler_api.schedule import Fold, Gap, Misfire


class JobState(StrEnum):
    """The state of a job."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    DELETED = "deleted"


class Condition(StrEnum):
    """What lists of jobs can be filtered by: a state, or what an active job is doing."""

    ACTIVE = "active"
    RUNNING = "running"
    FAILING = "failing"
    OVERDUE = "overdue"
    PAUSED = "paused"
    COMPLETED = "completed"
    DELETED = "deleted"


class LastStatus(StrEnum):
    """The status of a job's run in progress, or of its last one."""

    PENDING = "pending"
    """It waits for another attempt."""
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class JobSort(StrEnum):
    """Sort orders of the list of jobs."""

    JOBID = "jobid"
    NEWEST = "-jobid"
    JOBNAME = "jobname"
    JOBNAME_DOWN = "-jobname"
    NEXTRUN = "nextrun"
    NEXTRUN_DOWN = "-nextrun"
    LASTRUN = "lastrun"
    LASTRUN_DOWN = "-lastrun"
    SCHEDULE = "schedule"
    SCHEDULE_DOWN = "-schedule"
    DURATION = "duration"
    DURATION_DOWN = "-duration"


class JobAfter(After):
    """What a job runs after."""

    model_config = ConfigDict(json_schema_extra=all_given)


class JobMonitor(Monitor):
    """What is expected of a monitor's reports."""

    model_config = ConfigDict(json_schema_extra=all_given)


class JobTargetSummary(TargetSummary):
    """A job's target without its headers and its body."""

    model_config = ConfigDict(json_schema_extra=all_given)


class JobTarget(Target, JobTargetSummary):
    """A job's target."""

    model_config = ConfigDict(json_schema_extra=all_given)


def _stored(value: Any) -> Any:
    return stored(value, JobTarget) if isinstance(value, dict) else value


class JobSummary(Output):
    """A job and its current state, without its target's headers and body."""

    jobid: int
    jobname: str
    startdate: date | None
    starttime: Annotated[time, WithJsonSchema({"type": "string", "pattern": r"^\d{2}:\d{2}:\d{2}$"})] | None
    timezone: str
    repeat: bool
    interval: int | None
    cron: str | None
    after: JobAfter | None
    until: datetime | None
    maxruns: int | None
    exclude: list[str]
    calendars: list[str]
    dstgap: Gap
    dstfold: Fold
    jitter: int
    misfire: Misfire
    grace: int
    project: str
    tags: list[str]
    description: str
    owner: str
    runbook: str
    target: JobTargetSummary | None
    monitor: JobMonitor | None
    overlap: bool
    concurrency: int | None
    autopause: int | None
    lateafter: int | None
    stuckafter: int | None
    silentafter: int | None
    recoverafter: int
    record: Record
    active: bool = Field(description="Whether the job is scheduled.")
    state: JobState = Field(
        description="`active`; `paused`; `completed`: its schedule has no further run; or `deleted`."
    )
    pausedat: datetime | None
    pausereason: str | None
    pauseduntil: datetime | None = Field(description="When a paused job resumes automatically.")
    pauseid: UUID | None = Field(description="The bulk action that paused it; null if it was paused alone.")
    nextrun: datetime | None = Field(
        description="The next run; null if there is none. Of a monitor: when its next report is overdue."
    )
    lastrun: datetime | None = Field(
        description="The start of its last run, of any cause. Skipped runs do not count. Null before the "
        "first."
    )
    laststatus: LastStatus | None = Field(
        description="The status of the run in progress, or of the last one that ended. `pending`: it waits "
        "for a retry."
    )
    failures: int = Field(description="How many runs in a row have failed, in the order in which they ended.")
    lastsuccess: datetime | None = Field(description="When a run finished last; null if none has.")
    openissues: int = Field(description="How many issues of it are open: `GET /issues?jobid=` lists them.")
    version: int = Field(
        description="Another number after each change that people make; the one in its ETag."
    )
    createdat: datetime


class Job(JobSummary):
    """A job and its current state."""

    target: Annotated[JobTarget | None, BeforeValidator(_stored)]

    def without_header_values(self) -> "Job":
        """The same for those who may not write them: they often are credentials."""
        if self.target is None or not self.target.headers:
            return self
        kept = masked(self.target.headers)
        return self.model_copy(update={"target": self.target.model_copy(update={"headers": kept})})
