"""Making up for past occurrences."""

from datetime import datetime

from pydantic import ConfigDict, Field

from scheduler_api.contracts.values import Input, Instant, Output


class Backfill(Input):
    """Which past occurrences to make up for."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"since": "2026-11-01T00:00:00Z", "until": "2026-11-02T00:00:00Z"}]},
    )

    since: Instant = Field(description="The first instant of the range.")
    until: Instant = Field(description="The first instant after the range.")
    every: bool = Field(
        False,
        alias="all",
        description="Run every occurrence of the range again, also those that have run; not only the holes.",
    )


class BackfillReport(Output):
    """What a backfill runs, or would run."""

    count: int = Field(description="The number of occurrences.")
    dryrun: bool
    occurrences: list[datetime]
    message: str
