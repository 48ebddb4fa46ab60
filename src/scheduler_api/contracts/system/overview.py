"""How the service as a whole does."""

from datetime import date, datetime
from enum import StrEnum

from pydantic import Field

from scheduler_api.contracts.history.timeline import Bucket, Tally
from scheduler_api.contracts.values import Output


class IssueKind(StrEnum):
    """The kinds of issues."""

    DATABASE = "database"
    REPLICA = "replica"
    LATE = "late"
    CROWDED = "crowded"
    DISK = "disk"
    EXPORT = "export"
    HOST = "host"
    FAILING = "failing"
    GIVENUP = "givenup"
    MISSED = "missed"
    STUCK = "stuck"
    SILENT = "silent"
    CHANNEL = "channel"
    REPAIRED = "repaired"
    TRANSACTION = "transaction"
    RESTORED = "restored"


class Issue(Output):
    """A problem: since when, why, and what to do."""

    kind: IssueKind
    what: str
    since: datetime | None = Field(description="When it began, at the latest; null if unknown.")
    why: str | None = Field(None, description="The likely cause.")
    action: str = Field(description="What to do.")
    jobid: int | None = None
    logid: int | None = None
    timezone: str = "UTC"
    runbook: str = Field("", description="The job's link to what to do when it fails.")


class Restore(Output):
    """The latest restore of the database that was noticed. All fields are null if there was none."""

    restoredat: datetime | None = Field(None, description="When it was detected.")
    lastknown: datetime | None = Field(
        None, description="The newest instant in the restored tables. Later changes may be lost."
    )
    confirmedat: datetime | None = Field(None, description="When it was confirmed; null if it was not.")


class RunningRun(Output):
    """A run in progress."""

    logid: int
    jobid: int
    jobname: str
    timezone: str
    startedat: datetime
    attempt: int
    host: str | None
    progress: int | None = Field(description="The reported progress, in percent.")
    message: str | None
    usual: float | None = Field(description="The job's median duration, in seconds.")


class LateRun(Output):
    """A run that should have started."""

    logid: int
    jobid: int
    jobname: str
    timezone: str
    nextrun: datetime
    attempt: int


class LastError(Output):
    """The newest failed run."""

    logid: int
    jobid: int
    jobname: str
    timezone: str
    finishedat: datetime
    error: str


class Storage(Output):
    """What the database takes on disk."""

    bytes: int = Field(description="The size of the database, in bytes.")
    history: int = Field(
        description="How much of it is history: runs that are over, with their attempts and output."
    )
    growth: int | None = Field(
        description="How many bytes history has grown by a day of late; null until that is known."
    )
    keepdays: int | None = Field(description="How many days history is kept; null if for ever.")
    horizon: date | None = Field(
        description="The first day (UTC) whose history is kept; null while all of it is."
    )
    exportedto: date | None = Field(
        description="Days (UTC) before this one were released by an export; null if none were."
    )
    waiting: date | None = Field(
        description="The first day that is kept only because it has not been exported; null if there is none."
    )
    free: int | None = Field(
        description="Bytes that are free on the disk of the embedded server; null with a server of your own."
    )
    fullin: float | None = Field(
        description="Days until that disk is full at this rate; null if it will not be, or is not known."
    )


class StandbyLag(Output):
    """The standby that a replica reads pages from."""

    lag: float | None = Field(
        description="How many seconds it is behind at most. Null: pages are read from the primary, as it is "
        "away or too far behind."
    )


class Overview(Output):
    """The state of the service at a glance."""

    now: datetime
    issues: list[Issue] = Field(description="Open issues. Empty if all is well.")
    total: Tally = Field(description="The results of the time that `timeline` covers.")
    timeline: list[Bucket] = Field(
        description="The same in 48 stretches of half an hour, oldest first; the last one is in progress."
    )
    complete: bool = Field(description="Whether all runs of that period were counted.")
    running: list[RunningRun] = Field(description="Runs in progress, oldest first.")
    late: list[LateRun] = Field(description="Runs that should have started, most overdue first.")
    soon: int = Field(description="Jobs that are due within the next hour, counted up to 10,000.")
    lag: float = Field(description="Seconds that the most overdue run has been waiting.")
    oldestpending: datetime | None = Field(
        description="When the next pending run is due. With roles in some projects: the most overdue one."
    )
    replicas: list[str] = Field(
        description="The replicas that are connected to the database. Empty with roles in some projects only."
    )
    standby: StandbyLag | None = Field(
        description="The standby that the replica which answers reads pages from. Null: there is none, or "
        "with roles in some projects only."
    )
    lasterror: LastError | None
    storage: Storage | None = Field(description="Null with roles in some projects only.")
