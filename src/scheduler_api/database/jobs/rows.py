"""The rows of jobs: each a part of the next."""

from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any
from uuid import UUID


@dataclass
class DefinitionRow:
    """How a job's author has defined its schedule."""

    startdate: date | None
    starttime: time | None
    timezone: str
    interval: int | None
    cron: str | None
    until: datetime | None
    exclude: list[str]
    calendardays: list[str]
    """Those of its calendars."""
    dstgap: str
    dstfold: str


@dataclass
class ScheduleRow(DefinitionRow):
    """A job's schedule, and what bounds it; the columns of SCHEDULE."""

    validfrom: datetime
    kept: list[datetime]
    maxruns: int | None
    jitter: int
    kind: str
    """What its runs do; those of a monitor are reported, up to `grace` seconds after their time."""
    grace: int
    jobid: int


@dataclass
class StateRow(ScheduleRow):
    """What decides how a job goes on; the columns of STATE."""

    createdat: datetime
    version: int
    calendarversion: int
    misfire: str
    overlap: bool
    afterjobid: int | None
    active: bool
    pausedat: datetime | None
    pauseduntil: datetime | None
    resumefrom: datetime | None
    """While paused: the first occurrence that the ledger does not account for."""
    deletedat: datetime | None

    @property
    def is_paused(self) -> bool:
        """Whether somebody paused the job, or created it so."""
        return self.pausedat is not None


@dataclass
class JobRow(StateRow):
    """A job as it is shown, with what its logs say of it."""

    jobname: str
    project: str
    repeat: bool
    tags: list[str]
    description: str
    owner: str
    runbook: str
    calendars: list[str]
    target: dict[str, Any] | None
    after: dict[str, Any] | None
    monitor: dict[str, Any] | None
    concurrency: int | None
    autopause: int | None
    lateafter: int | None
    stuckafter: int | None
    silentafter: int | None
    recoverafter: int
    record: str
    pausereason: str | None
    pauseid: UUID | None
    openissues: int
    """How many issues of it are open."""
    state: str
    nextrun: datetime | None
    nextoccurrence: datetime | None
    """The first one that the ledger does not account for; of a paused job, see `resumefrom`."""
    runs: int
    """How many runs the schedule has made."""
    lastrun: datetime | None
    laststatus: str | None
    failures: int
    """In a row."""
    lastsuccess: datetime | None

    @property
    def goes_on(self) -> datetime | None:
        """The occurrence with which the job goes on, now or when it is resumed; None: it does not."""
        return self.nextoccurrence or self.resumefrom
