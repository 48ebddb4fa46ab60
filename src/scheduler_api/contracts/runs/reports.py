"""What accepted runs report."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from scheduler_api.contracts.runs.logs import LogStatus
from scheduler_api.contracts.values import Input, Output, clean_text

#: Lines in one report, and characters in one line.
MAX_LINES, MAX_LINE_LENGTH = 100, 2000


class ReportedStatus(StrEnum):
    """How an accepted run ended, by what its target says."""

    FINISHED = "finished"
    FAILED = "failed"


class Report(Input):
    """What an accepted run tells; nothing at all means that it is still going."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"progress": 40, "message": "4 of 10 files"},
                {"lines": ["copied a.csv", "copied b.csv"]},
                {"status": "finished", "message": "10 files"},
                {"status": "failed", "message": "The disk is full.", "retry": False},
            ]
        },
    )

    status: Annotated[ReportedStatus, Field(strict=False)] | None = Field(
        None, description="`finished` or `failed`: the run is over. Left out: it goes on."
    )
    progress: Annotated[int, Field(ge=0, le=100)] | None = Field(None, description="Percent.")
    message: (
        Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(clean_text)]
        | None
    ) = Field(None, description="How it stands, in words; why it failed.")
    lines: Annotated[
        list[Annotated[str, StringConstraints(max_length=MAX_LINE_LENGTH), AfterValidator(clean_text)]],
        Field(max_length=MAX_LINES),
    ] = Field(default_factory=list, description="Lines for the log; a thousand of an attempt are kept.")
    retry: bool = Field(True, description="Whether a failed run may be retried.")


class RunState(Output):
    """The state of a run after a report."""

    logid: int
    attempt: int
    status: LogStatus = Field(description="The run's status.")
    leaseuntil: datetime | None = Field(description="When the next report is due; null if the run has ended.")
