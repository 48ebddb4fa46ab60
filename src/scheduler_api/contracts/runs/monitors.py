"""What monitors are told, and where."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from scheduler_api.contracts.runs.logs import LogStatus
from scheduler_api.contracts.values import Output


class Signal(StrEnum):
    """What is reported of a run that is made elsewhere."""

    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"


class MonitorAddress(Output):
    """Where the runs of a monitor are reported. Who knows it can report them."""

    url: str = Field(description="`POST` here when a run has finished.")
    starturl: str = Field(description="`POST` here when one starts. May be left out.")
    failurl: str = Field(description="`POST` here when one has failed.")


class ReportedRun(Output):
    """The run that a report was about."""

    jobid: int
    logid: int
    scheduledfor: datetime = Field(description="The occurrence; of a run that none was due for, its start.")
    status: LogStatus
