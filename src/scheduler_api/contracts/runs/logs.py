"""Logs: one for each run; and what a pass over those that were due came to."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from scheduler_api.contracts.jobs.job import Job


class LogStatus(StrEnum):
    """How far a log has come."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    SKIPPED = "skipped"


class LogCause(StrEnum):
    """Why a log came to be."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    BACKFILL = "backfill"
    AFTER = "after"


class Log(BaseModel):
    """The record of one occurrence: first a promise, then a verdict."""

    logid: int
    jobid: int
    scheduledfor: datetime = Field(description="The occurrence: the instant that the schedule called for.")
    nextrun: datetime | None = Field(description="When this log will be tried; null once it is settled.")
    lastrun: datetime | None = Field(
        description="While pending: when the job ran before. Afterwards: when this one ran."
    )
    status: str = Field(description="`pending`, `running`, `finished`, `failed` or `skipped`.")
    cause: str = Field(
        description="Why it ran: `schedule`, `manual` (by request), `backfill`, or `after` another job's run."
    )
    parentlogid: int | None = Field(description="The log that it ran after.")
    attempt: int = Field(description="Which try this is, from 1; of a pending log, the one to come.")
    host: str | None = Field(description="Which host the run calls; null: it calls nothing.")
    leaseuntil: datetime | None = Field(
        description="While running: when another replica takes it over, unless something is heard before."
    )
    missed: int = Field(description="How many further occurrences this log stands for.")
    through: datetime | None = Field(description="The last of those; null: none.")
    runs: int = Field(description="How often the schedule had made the job run by then.")
    startedat: datetime | None
    finishedat: datetime | None
    reason: str | None = Field(
        description="Why it was skipped: `misfire`, `paused`, `excluded`, `overlap`, `dst-gap`, `until`, "
        "`superseded` (the job was edited), `deleted`, `request` or `cancelled`."
    )
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
