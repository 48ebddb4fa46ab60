"""What has run, over time."""

from datetime import date, datetime
from enum import StrEnum

from pydantic import Field

from scheduler_api.contracts.runs.logs import LogStatus
from scheduler_api.contracts.values import Output


class TimeRange(StrEnum):
    """A period up to now."""

    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"


class Recent(Output):
    """A run at a glance."""

    scheduledfor: datetime
    status: LogStatus
    missed: int
    took: float | None = Field(description="Milliseconds from its start to its end; null: it calls nothing.")


class TimedRun(Output):
    """How long a run took."""

    logid: int
    scheduledfor: datetime
    status: LogStatus
    took: float = Field(description="Milliseconds from its start to its end.")


class Tally(Output):
    """Results within a period."""

    finished: int = 0
    failed: int = 0
    running: int = Field(0, description="In progress, or waiting for a retry.")
    skipped: int = 0
    missed: int = Field(
        0, description="Occurrences covered by another run, counted when the last of them was due."
    )
    p50: float | None = Field(
        None, description="The median duration in milliseconds; null without ended runs."
    )
    p95: float | None = Field(None, description="The 95th percentile of durations, in milliseconds.")


class DayTally(Output):
    """Results of a day. They are kept when the runs themselves no longer are."""

    day: date = Field(description="The day in UTC.")
    finished: int
    failed: int
    skipped: dict[str, int] = Field(description="The number of skipped occurrences for each reason.")
    missed: int = Field(description="Occurrences covered by another run.")
    p50: float | None = Field(description="The median duration in milliseconds; null without requests.")
    p95: float | None = Field(description="The 95th percentile of durations, in milliseconds.")


class Bucket(Tally):
    """The tally of one stretch of time."""

    since: datetime


class Timeline(Output):
    """What became of a job's occurrences, stretch by stretch."""

    span: TimeRange
    since: datetime
    until: datetime
    width: int = Field(description="Seconds of each stretch.")
    buckets: list[Bucket] = Field(description="All stretches in order, those without occurrences too.")
    runs: list[TimedRun] = Field(description="Up to 300 of the newest runs that called something.")
    total: Tally
    complete: bool = Field(description="Whether all logs of that time were counted; else the newest.")
    keptsince: datetime | None = Field(
        None,
        description="Since when history is kept, if that is later than `since`. Before, nothing is counted; "
        "if the job records failures only, successes are not.",
    )
