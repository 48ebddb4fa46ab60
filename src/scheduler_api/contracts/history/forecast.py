"""The load that is to come."""

from datetime import datetime

from pydantic import Field

from scheduler_api.contracts.values import Output


class CollidingJob(Output):
    """A job that starts in a busy minute."""

    jobid: int
    jobname: str
    project: str
    load: float = Field(description="Its work, in seconds.")
    jitter: int = Field(description="Its jitter, in seconds.")
    offer: int | None = Field(
        description="A suggested jitter, in seconds; null if it has one or runs too often."
    )


class Collision(Output):
    """A minute in which several jobs start."""

    at: datetime
    runs: int
    load: float = Field(description="The work that starts in it, in seconds.")
    count: int = Field(description="The number of jobs that start in it.")
    jobs: list[CollidingJob] = Field(description="Up to ten jobs, those with the most work.")


class Forecast(Output):
    """The load by the minute."""

    since: datetime = Field(description="The first minute.")
    runs: list[int] = Field(description="Runs that start in each minute.")
    load: list[float] = Field(
        description="Work that starts in each minute, in seconds. A run counts as its job's median duration, "
        "or one second if unknown."
    )
    collisions: list[Collision] = Field(description="The busiest minutes, busiest first.")
    every: int = Field(
        description="1: all active jobs were looked at. n: of very many, every n-th was, and runs, load and "
        "counts are multiplied by n."
    )
    complete: bool = Field(description="Whether all their schedules were computed within the time limit.")
