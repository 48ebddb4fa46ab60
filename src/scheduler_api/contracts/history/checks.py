"""Whether all is there: a job's ledger against its schedule."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field


class FindingKind(StrEnum):
    """What is wrong with a history.

    `hole`: an occurrence has no run. `double`: it has two. `stray`: the schedule does not include a run.
    `miscount`: a count of missed runs is wrong. `invariant`: a rule is broken.
    """

    HOLE = "hole"
    DOUBLE = "double"
    STRAY = "stray"
    MISCOUNT = "miscount"
    INVARIANT = "invariant"


class Finding(BaseModel):
    """Something that is wrong with a ledger."""

    kind: FindingKind
    at: datetime | None = Field(description="The first occurrence that it is about.")
    count: int = Field(description="How many occurrences it is about.")
    detail: str


class JobCheck(BaseModel):
    """A job's ledger against its schedule and its edit history."""

    jobid: int
    clean: bool
    expected: int = Field(description="Occurrences that the schedule called for and that are over.")
    accounted: int = Field(description="Occurrences that have a run, or are counted in one.")
    rows: int = Field(description="Logs looked at.")
    holes: int = Field(description="Occurrences that no log accounts for.")
    doubles: int = Field(description="Logs for occurrences that another one accounts for, too.")
    strays: int = Field(description="Logs for instants that the schedule does not call for.")
    miscounts: int = Field(description="Logs that stand for more or fewer occurrences than they say.")
    invariants: int = Field(description="Other rules that are broken.")
    findings: list[Finding] = Field(description="The first hundred of them.")
    complete: bool = Field(description="Whether all of it was compared; else time ran out on the way.")
