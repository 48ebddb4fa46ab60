"""What is asked of calls: trying again, secrets, limits, and what accepted runs report."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from scheduler_api.contracts.values import LARGEST_ID, Count, Instant, clean_text, flaw_at

#: Lines in one report, and characters in one line.
MOST_LINES, LONGEST_LINE = 100, 2000
#: The highest rate, in calls a minute.
HIGHEST_RATE = 60_000


class ReportedStatus(StrEnum):
    """How an accepted run ended, by what its target says."""

    FINISHED = "finished"
    FAILED = "failed"


class Report(BaseModel):
    """What an accepted run tells; nothing at all means that it is still going."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
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
        list[Annotated[str, StringConstraints(max_length=LONGEST_LINE), AfterValidator(clean_text)]],
        Field(max_length=MOST_LINES),
    ] = Field(default_factory=list, description="Lines for the log; a thousand of an attempt are kept.")
    retry: bool = Field(True, description="Whether a failed run may be tried again.")


class RunState(BaseModel):
    """How a reported run stands."""

    logid: int
    attempt: int
    status: str = Field(description="The log's status now.")
    leaseuntil: datetime | None = Field(description="Until when the next word is awaited; null: it is over.")


class RetryFilter(BaseModel):
    """Which failed logs are meant."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    jobid: Annotated[int, Field(ge=1, le=LARGEST_ID)] | None = Field(None, description="Only those of a job.")
    since: Instant | None = Field(None, description="Only occurrences from this instant on.")
    until: Instant | None = Field(None, description="Only occurrences before this instant.")


class RetryOrder(BaseModel):
    """Failed logs to try again."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"filter": {"jobid": 1}, "dryrun": True}]},
    )

    filter: RetryFilter = Field(
        default_factory=RetryFilter, description="Which; without a filter, all that failed."
    )
    dryrun: bool = Field(False, description="Change nothing; say how many there are.")


class RetryReport(BaseModel):
    """What trying again amounts to."""

    count: int = Field(description="How many failed logs match.")
    dryrun: bool
    done: int = Field(description="How many of them are tried again.")
    more: bool = Field(description="Whether it took too long, and some are left: ask again.")


class Secret(BaseModel):
    """A secret that signs a job's calls, but for what it is."""

    secretid: int
    jobid: int
    createdat: datetime


class NewSecret(Secret):
    """A new secret, shown this once."""

    secret: str = Field(description="To be kept by the receiver. It can not be shown again.")


class LimitScope(StrEnum):
    """What a limit is about."""

    TAG = "tag"
    HOST = "host"


class LimitOrder(BaseModel):
    """How much may be under way at once, how much may begin in a minute, or both."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"limit": 2}, {"rate": 30}, {"limit": 2, "rate": 30}]},
    )

    limit: Count | None = Field(
        None, description="The most calls to the host, or runs of jobs with the tag, at once."
    )
    rate: Annotated[int, Field(ge=1, le=HIGHEST_RATE)] | None = Field(
        None,
        description="The most calls, to the host or of jobs with the tag, that begin in any minute; "
        "further attempts count, too.",
    )

    @model_validator(mode="after")
    def _limits_something(self) -> "LimitOrder":
        if self.limit is None and self.rate is None:
            raise flaw_at("limit", "Give `limit`, `rate`, or both.")
        return self


class Limit(BaseModel):
    """A limit, of all replicas together."""

    scope: LimitScope
    name: str = Field(description="The tag; or the host, with its port unless it is the usual one.")
    limit: int | None = Field(description="How many at once; null: as many as the service's settings allow.")
    rate: int | None = Field(description="How many calls begin in a minute; null: any number.")
