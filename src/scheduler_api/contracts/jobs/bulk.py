"""One order to many jobs."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from scheduler_api.contracts.jobs.actions import History, Missed
from scheduler_api.contracts.jobs.job import Condition, LastStatus
from scheduler_api.contracts.values import (
    MAX_ID,
    Input,
    Instant,
    Output,
    ProjectName,
    ReasonText,
    Tag,
    clean_text,
    invalid_at,
)


class BulkAction(StrEnum):
    """What to do with each job."""

    PAUSE = "pause"
    RESUME = "resume"
    RUN = "run"
    DELETE = "delete"


SearchText = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(clean_text)]
JobNumber = Annotated[int, Field(ge=1, le=MAX_ID)]


class BulkFilter(Input):
    """Which jobs: those that match everything that is given."""

    name: SearchText | None = None
    search: Annotated[
        SearchText | None,
        Field(description="Only jobs whose name, host, cron or one tag contains this, or that have this id."),
    ] = None
    state: Annotated[Condition | None, Field(strict=False)] = None
    laststatus: Annotated[LastStatus | None, Field(strict=False)] = None
    tag: Tag | None = None
    project: ProjectName | None = None
    jobids: Annotated[list[JobNumber], Field(min_length=1, max_length=1000)] | None = None


class BulkOrder(Input):
    """What to do with which jobs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"action": "pause", "filter": {"tag": "reports"}, "reason": "Moving"}]
        },
    )

    action: Annotated[BulkAction, Field(strict=False)]
    filter: BulkFilter = Field(default_factory=BulkFilter)
    pauseid: Annotated[UUID | None, Field(strict=False)] = Field(
        None,
        description="Only jobs that the order of this id paused, and that are paused by it still.",
    )
    every: bool = Field(False, alias="all", description="Needed to mean every job, where there is no filter.")
    reason: ReasonText | None = Field(None, description="Why they are paused.")
    until: Instant | None = Field(None, description="When paused jobs resume by themselves.")
    missed: Annotated[Missed, Field(strict=False)] = Field(
        Missed.POLICY, description="What becomes of the runs that resumed jobs have missed."
    )
    history: Annotated[History, Field(strict=False)] = Field(
        History.KEEP, description="What becomes of the history of deleted jobs."
    )

    @model_validator(mode="after")
    def _means_some_jobs(self) -> "BulkOrder":
        if not self.every and self.pauseid is None and not self.filter.model_dump(exclude_none=True):
            raise invalid_at("filter", "Provide a filter, or set `all` to true to select every job.")
        return self


class BulkFailure(Output):
    """A job that could not be changed."""

    jobid: int
    code: str
    detail: str


class BulkReport(Output):
    """The result of a bulk action."""

    action: BulkAction
    dryrun: bool
    count: int = Field(description="The number of jobs that matched at the start.")
    done: int = Field(description="The number of jobs that were changed.")
    jobids: list[int] = Field(description="The ids of the jobs that were changed.")
    pauseid: UUID | None = Field(
        description="Identifies the jobs that this action paused. Filter by it to resume them."
    )
    unchanged: int = Field(description="The number of jobs that were already in the wanted state.")
    failed: list[BulkFailure] = Field(description="Jobs that could not be changed, and why.")
    lastjobid: int | None = Field(
        description="Where it stopped at its time limit: jobs up to this id are done, and of the others at "
        "most some, for `run` none. Send the order again for the rest; for `run`, name the others by "
        "`jobids`. Null if it is complete."
    )
