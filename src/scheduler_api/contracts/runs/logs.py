"""Logs: one for each run; and what a pass over those that were due came to."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.values import Output
from scheduler_api.schedule import Reason


class LogStatus(StrEnum):
    """The status of a run."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    SKIPPED = "skipped"


class LogCause(StrEnum):
    """What triggered a run: its schedule, a manual request, a backfill, or an upstream job."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    BACKFILL = "backfill"
    AFTER = "after"


class LogSort(StrEnum):
    """The order of a list of runs."""

    LOGID = "logid"
    ENDED = "ended"
    DURATION = "duration"
    NEXTRUN = "nextrun"


class LogKind(StrEnum):
    """What a run does: nothing but keep the record, make an HTTP request, or be reported from elsewhere."""

    PLAIN = "plain"
    HTTP = "http"
    MONITOR = "monitor"


class Log(Output):
    """One run: the record of one occurrence, `pending` at first."""

    logid: int
    jobid: int
    scheduledfor: datetime = Field(description="The scheduled time of the occurrence.")
    nextrun: datetime | None = Field(
        description="When it starts, or is retried, or its report is overdue; null once it has ended."
    )
    lastrun: datetime | None = Field(
        description="While pending: the start of the job's previous run. Afterwards: the start of this one."
    )
    status: LogStatus
    cause: LogCause
    parentlogid: int | None = Field(description="The upstream run.")
    attempt: int = Field(description="The number of the attempt, from 1. While pending, of the next one.")
    kind: LogKind = Field(
        description="What the run does: nothing but keep the record (`plain`), make an HTTP request "
        "(`http`), or be reported from elsewhere (`monitor`)."
    )
    host: str | None = Field(description="The target's host; null without a target.")
    leaseuntil: datetime | None = Field(description="While running: when its lease expires.")
    missed: int = Field(description="The number of missed occurrences that it covers.")
    through: datetime | None = Field(description="The last covered occurrence; null if there is none.")
    runs: int = Field(description="The number of scheduled runs of the job so far.")
    startedat: datetime | None
    finishedat: datetime | None
    reason: Reason | None = Field(description="Why it was skipped; null if it was not.")
    error: str | None = Field(description="Why it failed; null if it did not.")


class JobWithLogs(Output):
    """A job and its logs, newest first."""

    job: Job
    logs: list[Log]


class RunReport(Output):
    """The result of `POST /jobs/run`."""

    message: str
    finished: int = Field(description="Runs that finished.")
    failed: int = Field(description="Runs that failed.")
    skipped: int = Field(description="Runs that were skipped.")
    retried: int = Field(description="Failed attempts that will be retried.")
    running: int = Field(description="Runs that are still in progress.")
    repaired: int = Field(description="Jobs whose next run was missing or too late, and was repaired.")
    more: bool = Field(description="Whether there was no time for all that was due. Call again to continue.")
    waiting: bool = Field(
        description="Whether something that is due cannot run now: a limit holds it back, or another "
        "transaction, or the database refuses its result."
    )
