"""Trying failed runs again."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from scheduler_api.contracts.values import MAX_ID, Input, Instant, Output, ProjectName, Tag, invalid_at


class RetryFilter(Input):
    """Which failed logs are meant."""

    jobid: Annotated[int, Field(ge=1, le=MAX_ID)] | None = Field(None, description="Only those of a job.")
    since: Instant | None = Field(None, description="Only occurrences from this instant on.")
    until: Instant | None = Field(None, description="Only occurrences before this instant.")
    tag: Tag | None = Field(None, description="Only those of jobs with this tag.")
    project: ProjectName | None = Field(None, description="Only those of jobs of this project.")
    host: Annotated[str, StringConstraints(min_length=1, max_length=260)] | None = Field(
        None, description="Only calls to this host."
    )


class RetryOrder(Input):
    """Failed logs to try again."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"filter": {"jobid": 1}}]},
    )

    filter: RetryFilter = Field(default_factory=RetryFilter, description="Which.")
    every: bool = Field(False, alias="all", description="Needed to mean all that failed, without a filter.")

    @model_validator(mode="after")
    def _means_some_runs(self) -> "RetryOrder":
        if not self.every and not self.filter.model_dump(exclude_none=True):
            raise invalid_at("filter", "Provide a filter, or set `all` to true to retry all that failed.")
        return self


class RetryReport(Output):
    """The result of a bulk retry."""

    count: int = Field(description="The number of failed runs that match.")
    dryrun: bool
    done: int = Field(description="The number of runs that are retried.")
    more: bool = Field(
        description="Whether it stopped at its time limit, or left runs that another transaction holds. "
        "Repeat to retry the rest."
    )
