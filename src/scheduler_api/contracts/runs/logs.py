"""Logs: one for each run; and what a pass over those that were due came to."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from scheduler_api.contracts.jobs.job import Job
from scheduler_api.schedule import Reason


class LogStatus(StrEnum):
    """The status of a run."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    SKIPPED = "skipped"


class LogCause(StrEnum):
    """What made it run: the schedule, a request, a backfill, or another job's run."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    BACKFILL = "backfill"
    AFTER = "after"


class Log(BaseModel):
    """One run: the row of one occurrence, pending at first."""

    logid: int
    jobid: int
    scheduledfor: datetime = Field(description="The occurrence: the instant that the schedule called for.")
    nextrun: datetime | None = Field(description="When this log will be tried; null once it is settled.")
    lastrun: datetime | None = Field(
        description="While pending: when the job ran before. Afterwards: when this one ran."
    )
    status: LogStatus
    cause: LogCause
    parentlogid: int | None = Field(description="The run that it followed.")
    attempt: int = Field(description="Which attempt this is, from 1; of a pending run, the next one.")
    host: str | None = Field(description="The host of its target; null: it has none.")
    leaseuntil: datetime | None = Field(description="While running: when its lease expires.")
    missed: int = Field(description="How many further occurrences this run covers.")
    through: datetime | None = Field(description="The last of those; null: none.")
    runs: int = Field(description="How often the schedule had run the job by then.")
    startedat: datetime | None
    finishedat: datetime | None
    reason: Reason | None = Field(description="Why it was skipped.")
    error: str | None = Field(description="What went wrong, if it failed.")


class JobWithLogs(BaseModel):
    """A job and its logs, newest first."""

    job: Job
    logs: list[Log]


class RunReport(BaseModel):
    """What a call of `POST /jobs/run` did."""

    message: str
    finished: int = Field(description="Occurrences that ran.")
    failed: int = Field(description="Occurrences that failed.")
    skipped: int = Field(description="Occurrences that were dropped as too late.")
    retried: int = Field(description="Attempts that failed, and that will be made once more.")
    running: int = Field(description="Calls that were made and are still under way.")
    repaired: int = Field(description="Jobs whose next run was missing, or too late, and was put right.")
    more: bool = Field(description="Whether the call stopped before everything due was run; call again.")
