"""How jobs did in a week, beside how they usually do."""

from datetime import date
from enum import StrEnum

from pydantic import Field

from scheduler_api.contracts.values import Output


class PerformanceSort(StrEnum):
    """By what jobs are listed, highest first."""

    SLOWER = "slower"
    P95 = "p95"
    FAILED = "failed"
    RUNS = "runs"


class JobPerformance(Output):
    """A job's runs of a week."""

    jobid: int
    jobname: str
    runs: int
    failed: int
    p50: float | None = Field(
        description="The median of its days' medians, in milliseconds; null without requests."
    )
    p95: float | None = Field(description="The median of its days' 95th percentiles, in milliseconds.")
    usual: float | None = Field(description="The same of the four weeks before.")
    slower: float | None = Field(description="How many times `usual` the `p95` is.")


class Performance(Output):
    """How jobs did in a week."""

    since: date = Field(description="The first of the seven days, in UTC.")
    until: date = Field(description="The day after the last of them.")
    every: int = Field(description="1: all jobs were looked at; n: every nth one.")
    complete: bool = Field(description="Whether all runs of days that are not yet counted were looked at.")
    jobs: list[JobPerformance]
