"""Attempts: the requests that a run made, and what came of them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from scheduler_api.contracts.runs.logs import Log
from scheduler_api.contracts.values import Output
from scheduler_api.targets import Failure


class AttemptOutcome(StrEnum):
    """How an attempt ended, or `running`.

    `accepted`: the target answered 202 and is working. `lost`: the replica that made it died, or no
    report came in time. `released`: returned before sending, which does not count as an attempt.
    """

    RUNNING = "running"
    ACCEPTED = "accepted"
    FINISHED = "finished"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"
    RELEASED = "released"


class Attempt(Output):
    """One request of a run, and its result."""

    attempt: int
    startedat: datetime
    finishedat: datetime | None
    outcome: AttemptOutcome
    failure: Failure | None = Field(description="Why it failed.")
    error: str | None = Field(description="The failure in a sentence.")
    httpstatus: int | None = Field(description="The response's status; null without a response.")
    timing: dict[str, float] | None = Field(
        description="In milliseconds: dns, connect and tls (new connections only), firstbyte, total."
    )
    excerpt: str | None = Field(description="The first 4 KiB of the response.")
    progress: int | None = Field(description="The latest reported progress, in percent.")
    message: str | None = Field(description="The latest reported message.")
    replica: str = Field(description="The replica that made it.")


class Line(Output):
    """A line of output that a running target reported."""

    lineid: int
    attempt: int
    at: datetime
    line: str


class LogWithAttempts(Output):
    """A run, its attempts in order, and its output."""

    log: Log
    attempts: list[Attempt]
    traceid: str | None = Field(
        description="The trace of its requests (W3C Trace Context), as their `traceparent` names it; null "
        "before the first."
    )
    lines: list[Line] = Field(description="The last 1,000 lines, in order.")
    body: Any = Field(description="What it sends instead of its target's body; null: that body.")


class TestAnswer(Output):
    """The response to a test request."""

    __test__ = False

    url: str = Field(description="The requested URL.")
    ok: bool = Field(description="Whether a run with this response would have finished.")
    failure: Failure | None
    error: str | None
    httpstatus: int | None
    timing: dict[str, float]
    excerpt: str | None
