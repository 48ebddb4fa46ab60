"""Whether all is there: a job's ledger against its schedule."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from scheduler_api.contracts.values import Output


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


class Finding(Output):
    """An inconsistency in a job's history."""

    kind: FindingKind
    at: datetime | None = Field(description="The first affected occurrence.")
    count: int = Field(description="The number of affected occurrences.")
    detail: str


class JobCheck(Output):
    """A job's runs compared with its schedule and its edits."""

    jobid: int
    clean: bool
    expected: int = Field(description="Past occurrences of the schedule.")
    accounted: int = Field(description="Occurrences that have a run or are covered by one.")
    rows: int = Field(description="The number of runs that were checked.")
    holes: int = Field(description="Occurrences without a run.")
    doubles: int = Field(description="Runs of occurrences that another run accounts for.")
    strays: int = Field(description="Runs at instants that the schedule does not include.")
    miscounts: int = Field(description="Runs with a wrong count of covered occurrences.")
    invariants: int = Field(description="Broken rules of any other kind.")
    findings: list[Finding] = Field(description="The first hundred findings.")
    complete: bool = Field(description="Whether everything was compared within the time limit.")
