"""Limits on the calls to a host, and on the runs of jobs with a tag or of a project."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from scheduler_api.contracts.values import Count, Input, Output, invalid_at

#: The highest rate, in calls a minute.
MAX_RATE = 60_000


class LimitScope(StrEnum):
    """What a limit applies to."""

    TAG = "tag"
    HOST = "host"
    PROJECT = "project"


class LimitOrder(Input):
    """How much may run at once, how much may start in a minute, or both."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"limit": 2}, {"rate": 30}, {"limit": 2, "rate": 30}]},
    )

    limit: Count | None = Field(
        None,
        description="The most calls to the host, or runs of jobs with the tag or of the project, at once.",
    )
    rate: Annotated[int, Field(ge=1, le=MAX_RATE)] | None = Field(
        None,
        description="The most calls, to the host or of jobs with the tag or of the project, that begin in a "
        "minute; "
        "retries count, too.",
    )

    @model_validator(mode="after")
    def _limits_something(self) -> "LimitOrder":
        if self.limit is None and self.rate is None:
            raise invalid_at("limit", "Give `limit`, `rate`, or both.")
        return self


class Limit(Output):
    """A limit across all replicas."""

    scope: LimitScope
    name: str = Field(
        description="The tag or the project; or the host, with its port if it is not the default."
    )
    limit: int | None = Field(description="Max concurrent; null: as the settings allow.")
    rate: int | None = Field(description="Max starts per minute; null: unlimited.")
