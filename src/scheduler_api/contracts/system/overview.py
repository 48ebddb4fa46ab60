"""How the service as a whole does."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from scheduler_api.contracts.history.timeline import Tally


class IssueKind(StrEnum):
    """What can be wrong."""

    REPLICA = "replica"
    LATE = "late"
    CROWDED = "crowded"
    HOST = "host"
    FAILING = "failing"
    GIVENUP = "givenup"
    REPAIRED = "repaired"
    TRANSACTION = "transaction"
    RESTORED = "restored"


class Issue(BaseModel):
    """Something that is wrong, since when, and what to do."""

    kind: IssueKind
    what: str
    since: datetime | None = Field(description="Since when, at the latest; null: not known.")
    why: str | None = Field(None, description="What is known of the cause.")
    action: str = Field(description="What to do about it.")
    jobid: int | None = None
    logid: int | None = None
    timezone: str = "UTC"


class Restore(BaseModel):
    """The newest restore of the database that was noticed; all null: none was."""

    restoredat: datetime | None = Field(None, description="When it was noticed.")
    lastknown: datetime | None = Field(
        None, description="The newest instant that the restored tables tell of; what came later may be lost."
    )
    confirmedat: datetime | None = Field(None, description="When it was confirmed; null: not yet.")


class RunningRun(BaseModel):
    """A run that is under way."""

    logid: int
    jobid: int
    jobname: str
    timezone: str
    startedat: datetime
    attempt: int
    host: str | None
    progress: int | None = Field(description="Percent, if the target tells.")
    message: str | None
    usual: float | None = Field(description="Seconds that the median run of the job takes.")


class LateRun(BaseModel):
    """A run that should have begun."""

    logid: int
    jobid: int
    jobname: str
    timezone: str
    nextrun: datetime
    attempt: int


class LastError(BaseModel):
    """The newest run that failed for good."""

    logid: int
    jobid: int
    jobname: str
    timezone: str
    finishedat: datetime
    error: str


class Overview(BaseModel):
    """What an operator wants to know first."""

    now: datetime
    issues: list[Issue] = Field(description="What is wrong; empty: nothing is.")
    total: Tally = Field(description="What became of the occurrences of the last 24 hours.")
    complete: bool = Field(description="Whether all logs of that time were counted.")
    running: list[RunningRun] = Field(description="Runs under way, the oldest first.")
    late: list[LateRun] = Field(description="Runs that should have begun, the latest first.")
    lag: float = Field(description="Seconds that the most overdue run has been waiting.")
    oldestpending: datetime | None = Field(description="When the next pending run is to be tried.")
    replicas: list[str] = Field(description="The replicas that are connected to the database.")
    lasterror: LastError | None
