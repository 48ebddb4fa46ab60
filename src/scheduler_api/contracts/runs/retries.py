"""Trying failed runs again."""

from typing import Annotated

from pydantic import ConfigDict, Field

from scheduler_api.contracts.values import MAX_ID, Input, Instant, Output


class RetryFilter(Input):
    """Which failed logs are meant."""

    jobid: Annotated[int, Field(ge=1, le=MAX_ID)] | None = Field(None, description="Only those of a job.")
    since: Instant | None = Field(None, description="Only occurrences from this instant on.")
    until: Instant | None = Field(None, description="Only occurrences before this instant.")


class RetryOrder(Input):
    """Failed logs to try again."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"filter": {"jobid": 1}}]},
    )

    filter: RetryFilter = Field(
        default_factory=RetryFilter, description="Which; without a filter, all that failed."
    )


class RetryReport(Output):
    """The result of a bulk retry."""

    count: int = Field(description="The number of failed runs that match.")
    dryrun: bool
    done: int = Field(description="The number of runs that are retried.")
    more: bool = Field(description="Whether it stopped at its time limit. Repeat to retry the rest.")
