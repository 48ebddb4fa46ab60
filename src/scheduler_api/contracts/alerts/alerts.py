"""Alerts: what channels are told of issues, and were."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from scheduler_api.contracts.alerts.issues import IssueEnding, JobIssueKind, ServiceIssueKind
from scheduler_api.contracts.values import Output


class AlertEvent(StrEnum):
    """What is told: that an issue has begun, is still open, or is over; or that this is a test."""

    OPENED = "opened"
    REMINDER = "reminder"
    ENDED = "ended"
    TEST = "test"


class AlertState(StrEnum):
    """What has become of an alert. `dead`: it was given up, and can be sent again."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"


class Facts(BaseModel):
    """A job and its issue, as they were when the alert was written."""

    jobname: str
    project: str
    tags: list[str]
    timezone: str
    host: str | None
    owner: str
    runbook: str
    kind: JobIssueKind
    since: datetime
    times: int
    firstfor: datetime | None
    lastfor: datetime | None
    logid: int | None
    error: str | None
    ending: IssueEnding | None
    endedat: datetime | None
    flapping: bool = False


class ServiceFacts(BaseModel):
    """An issue of the service itself, as it was when the alert was written."""

    kind: ServiceIssueKind
    what: str
    why: str | None
    action: str
    since: datetime
    seenat: datetime


class Alert(Output):
    """What a channel is to be told, or was."""

    alertid: int
    channelid: int
    channel: str = Field(description="The channel's name.")
    issueid: int | None = Field(
        description="The issue of a job; null for a test, and for issues of the service itself."
    )
    jobid: int | None
    jobname: str | None = Field(description="The job's name at that time.")
    what: str | None = Field(description="What is wrong with the service itself.")
    kind: JobIssueKind | ServiceIssueKind | None
    event: AlertEvent
    state: AlertState
    at: datetime = Field(description="When it was noticed.")
    attempts: int = Field(description="How often it was tried.")
    sentat: datetime | None
    deadat: datetime | None = Field(description="When it was given up.")
    error: str | None = Field(description="Why the last attempt failed.")
