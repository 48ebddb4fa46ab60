"""The ledger's answers: why, whether all is there, what is made up for, what was changed."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from scheduler_api.contracts.answers import Log
from scheduler_api.contracts.schedules import Occurrence
from scheduler_api.contracts.values import Instant


class Fate(StrEnum):
    """What became of an instant, in a word."""

    RAN = "ran"
    FAILED = "failed"
    SKIPPED = "skipped"
    COUNTED = "counted"
    RUNNING = "running"
    PROMISED = "promised"
    EXPECTED = "expected"
    PAUSED = "paused"
    NOT_SCHEDULED = "not-scheduled"
    NOT_CREATED = "not-created"
    COMPLETED = "completed"
    DELETED = "deleted"
    MISSING = "missing"


class Explanation(BaseModel):
    """Why a job did, or did not, run at an instant."""

    at: datetime
    fate: Fate = Field(
        description="`ran`, `failed`, `skipped`, `counted` (another log stands for it), `running`, "
        "`promised`, `expected` (still to come), `paused`, `not-scheduled`, `not-created`, `completed`, "
        "`deleted`, or `missing` (a hole in the ledger)."
    )
    sentence: str = Field(description="The answer, for people.")
    schedule: str = Field(description="The schedule that held then, in words.")
    scheduled: bool = Field(description="Whether the schedule calls for this instant.")
    note: str | None = Field(description="A change of the clocks, or an excluded day.")
    logs: list[Log] = Field(description="The logs that tell of it.")
    before: Occurrence | None = Field(description="The nearest occurrence before it.")
    after: Occurrence | None = Field(description="The nearest occurrence after it.")


class Finding(BaseModel):
    """Something that is wrong with a ledger."""

    kind: str = Field(description="`hole`, `double`, `stray`, `miscount` or `invariant`.")
    at: datetime | None = Field(description="The first occurrence that it is about.")
    count: int = Field(description="How many occurrences it is about.")
    detail: str


class JobCheck(BaseModel):
    """A job's ledger against its schedule and its edit history."""

    jobid: int
    clean: bool
    expected: int = Field(description="Occurrences that the schedule called for and that are over.")
    accounted: int = Field(description="Occurrences that the ledger accounts for.")
    rows: int = Field(description="Logs looked at.")
    holes: int = Field(description="Occurrences that no log accounts for.")
    doubles: int = Field(description="Logs for occurrences that another one accounts for, too.")
    strays: int = Field(description="Logs for instants that the schedule does not call for.")
    miscounts: int = Field(description="Logs that stand for more or fewer occurrences than they say.")
    invariants: int = Field(description="Other rules that are broken.")
    findings: list[Finding] = Field(description="The first hundred of them.")
    complete: bool = Field(description="Whether all of it was compared; else time ran out on the way.")


class Backfill(BaseModel):
    """Which past occurrences to make up for."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [{"since": "2026-11-01T00:00:00Z", "until": "2026-11-02T00:00:00Z", "dryrun": True}]
        },
    )

    since: Instant = Field(description="The first instant of the range.")
    until: Instant = Field(description="The first instant after the range.")
    every: bool = Field(
        False,
        alias="all",
        description="Run every occurrence of the range again, also those that have run; not only the holes.",
    )
    dryrun: bool = Field(False, description="Run nothing; say what would run.")


class BackfillReport(BaseModel):
    """What a backfill runs, or would run."""

    count: int = Field(description="How many occurrences.")
    dryrun: bool
    occurrences: list[datetime]
    message: str


class Change(BaseModel):
    """A change of a job."""

    changeid: int
    jobid: int
    at: datetime
    action: str = Field(
        description="`created`, `edited`, `paused`, `resumed`, `skipped`, `deleted` or "
        "`repaired`: its next run was missing, or later than the schedule says."
    )
    client: str | None = Field(description="Who asked for it, as far as known; null: the service itself.")
    before: Annotated[
        dict[str, Any] | None,
        Field(
            description="What it changed, as it was; of a target, those of its fields. Values of headers are "
            "not kept, and of a body above 1 KB its size and digest."
        ),
    ]
    after: Annotated[dict[str, Any] | None, Field(description="What it changed, as it became.")]
