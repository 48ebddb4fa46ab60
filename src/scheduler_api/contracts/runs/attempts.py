"""Attempts: the requests that a run made, and what came of them."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from scheduler_api.contracts.runs.logs import Log
from scheduler_api.targets import Failure


class AttemptOutcome(StrEnum):
    """How an attempt ended, or that it has not.

    `accepted`: the target answered 202 and works on it. `lost`: the replica that made it died, or no report
    came in time. `released`: returned before sending, which counts as no attempt.
    """

    RUNNING = "running"
    ACCEPTED = "accepted"
    FINISHED = "finished"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"
    RELEASED = "released"


class Attempt(BaseModel):
    """One request of a log's run, and what came of it."""

    attempt: int
    startedat: datetime
    finishedat: datetime | None
    outcome: AttemptOutcome
    failure: Failure | None = Field(description="The kind of failure.")
    error: str | None = Field(description="The same in a sentence.")
    httpstatus: int | None = Field(description="The status of the answer; null: there was none.")
    timing: dict[str, float] | None = Field(
        description="Milliseconds: dns, connect, tls (of a new connection), firstbyte, total."
    )
    excerpt: str | None = Field(description="The first 4 KiB of the response.")
    progress: int | None = Field(description="What an accepted run told last: percent.")
    message: str | None = Field(description="The newest message of an accepted run.")
    replica: str = Field(description="Which process made it.")


class Line(BaseModel):
    """A line that an accepted run told."""

    lineid: int
    attempt: int
    at: datetime
    line: str


class LogWithAttempts(BaseModel):
    """A log, its attempts in order, and what they told."""

    log: Log
    attempts: list[Attempt]
    lines: list[Line] = Field(description="The newest thousand, in order.")


class TestAnswer(BaseModel):
    """What a target answered to a request that no log tells of."""

    __test__ = False

    url: str = Field(description="The address that was requested.")
    ok: bool = Field(description="Whether a run would have finished.")
    failure: Failure | None
    error: str | None
    httpstatus: int | None
    timing: dict[str, float]
    excerpt: str | None
