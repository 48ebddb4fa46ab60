"""Alerts: what channels are told of issues, and were."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from scheduler_api.contracts.alerts.issues import IssueEnding, JobIssueKind
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


class Alert(Output):
    """What a channel is to be told, or was."""

    alertid: int
    channelid: int
    channel: str = Field(description="The channel's name.")
    issueid: int | None = Field(description="The issue; null for a test.")
    jobid: int | None
    jobname: str | None = Field(description="The job's name at that time.")
    kind: JobIssueKind | None
    event: AlertEvent
    state: AlertState
    at: datetime = Field(description="When it was noticed.")
    attempts: int = Field(description="How often it was tried.")
    sentat: datetime | None
    deadat: datetime | None = Field(description="When it was given up.")
    error: str | None = Field(description="Why the last attempt failed.")
