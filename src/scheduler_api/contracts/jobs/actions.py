"""What is asked of a job beside its definition."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from scheduler_api.contracts.jobs.targets import Body
from scheduler_api.contracts.values import Input, Instant, ReasonText


class Pause(Input):
    """Why a job is paused, and until when."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "The receiver is down."}]},
    )

    reason: ReasonText | None = Field(None, description="Why, for those who find it paused.")
    until: Instant | None = Field(
        None, description="When it resumes automatically; null: only when it is resumed."
    )


class Missed(StrEnum):
    """What becomes of the runs that a pause kept from running."""

    POLICY = "policy"
    """What the job's misfire policy says."""
    SKIP = "skip"
    """None of them runs; the ledger says so."""


class Resume(Input):
    """How to go on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"missed": "skip"}]})

    missed: Annotated[Missed, Field(strict=False)] = Field(
        Missed.POLICY,
        description="What becomes of the runs that were missed: the job's misfire `policy`, or `skip`.",
    )


class RunOrder(Input):
    """How to run a job now."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"body": {"day": "2030-01-31"}}]})

    body: Body = Field(
        None,
        description="Sent instead of the target's body, by this run alone and its retries; null: the "
        "target's body.",
    )


class History(StrEnum):
    """Whether the logs of deleted jobs are included."""

    KEEP = "keep"
    REMOVE = "remove"
