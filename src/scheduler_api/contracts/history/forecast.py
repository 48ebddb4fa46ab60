"""The load that is to come."""

from datetime import datetime

from pydantic import BaseModel, Field


class CollidingJob(BaseModel):
    """A job that runs in a busy minute."""

    jobid: int
    jobname: str
    load: float = Field(description="Seconds of work that it brings.")
    jitter: int = Field(description="By how much its start is spread already, in seconds.")
    offer: int | None = Field(
        description="A jitter that would spread its start, in seconds; null: it is spread, or runs too often."
    )


class Collision(BaseModel):
    """A minute in which several jobs run."""

    at: datetime
    runs: int
    load: float = Field(description="Seconds of work that begin in it.")
    count: int = Field(description="How many jobs run in it.")
    jobs: list[CollidingJob] = Field(description="Those with the most work; ten at most.")


class Forecast(BaseModel):
    """Minute by minute, what the schedules call for."""

    since: datetime = Field(description="The first minute.")
    runs: list[int] = Field(description="Runs that begin in each minute.")
    load: list[float] = Field(
        description="Seconds of work that begin in each minute: each run counts as long as the median one of "
        "its job; one of which that is not known, one second."
    )
    collisions: list[Collision] = Field(description="The busiest minutes, the busiest first.")
    complete: bool = Field(description="Whether all schedules were computed; else time ran out.")
