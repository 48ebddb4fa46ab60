"""Issues of jobs: what is wrong with a job, from when it is noticed until it is over."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from scheduler_api.contracts.values import Input, Instant, Output


class JobIssueKind(StrEnum):
    """What is wrong with a job."""

    FAILED = "failed"
    """Its runs fail, with all their attempts."""
    MISSED = "missed"
    """Occurrences did not run: the service was down, or the run before took too long."""
    LATE = "late"
    """A run has not begun long after it was due."""
    STUCK = "stuck"
    """A run takes far longer than usual."""
    SILENT = "silent"
    """No run has finished for twice the usual time."""
    PAUSED = "paused"
    """The service has paused it, as it failed so often, or its target is gone."""


class ServiceIssueKind(StrEnum):
    """What is wrong with the service itself."""

    DATABASE = "database"
    """A replica could not reach the database."""
    REPLICA = "replica"
    """A replica does not do its work."""
    CROWDED = "crowded"
    """A replica makes as many calls as it may, and runs wait."""
    DISK = "disk"
    """The disk will be full soon."""
    EXPORT = "export"
    """History is kept only because nobody has exported it."""
    TRANSACTION = "transaction"
    """A transaction has been open for long."""
    CHANNEL = "channel"
    """A channel takes no alerts."""
    RESTORED = "restored"
    """The database was restored."""


class IssueEnding(StrEnum):
    """Why an issue is over."""

    RECOVERED = "recovered"
    EDITED = "edited"
    PAUSED = "paused"
    RESUMED = "resumed"
    DELETED = "deleted"
    CLOSED = "closed"


class IssueState(StrEnum):
    """Which issues to list."""

    OPEN = "open"
    ENDED = "ended"


class JobIssue(Output):
    """What is wrong with a job, or was."""

    issueid: int
    jobid: int
    jobname: str
    project: str
    timezone: str
    kind: JobIssueKind
    since: datetime = Field(description="When it was noticed first.")
    seenat: datetime = Field(description="When it was noticed last.")
    times: int = Field(description="How many runs failed, or how many occurrences were missed, since then.")
    firstfor: datetime | None = Field(description="The first occurrence that it is about.")
    lastfor: datetime | None = Field(description="The last one.")
    logid: int | None = Field(description="The run that it was noticed by last.")
    error: str | None = Field(description="What that run said.")
    endedat: datetime | None = Field(description="When it was over; null while it is open.")
    ending: IssueEnding | None = Field(description="Why it is over.")
    ackedby: str | None = Field(description="Who has acknowledged it.")
    ackedat: datetime | None
    ackeduntil: datetime | None = Field(
        description="No reminders are sent until then; null: until it is over, if it was acknowledged."
    )


class Acknowledgement(Input):
    """Acknowledges an issue: no reminders are sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"until": "2030-02-01T09:00:00Z"}]})

    until: Annotated[
        Instant | None,
        Field(description="Until when; null: until the issue is over. Its end is told in any case."),
    ] = None
