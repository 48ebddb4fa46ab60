"""Attempts: the requests that a run made, and what came of them."""

from datetime import datetime

from pydantic import BaseModel, Field

from scheduler_api.contracts.runs.logs import Log


class Attempt(BaseModel):
    """One request of a log's run, and what came of it."""

    attempt: int
    startedat: datetime
    finishedat: datetime | None
    outcome: str = Field(
        description="`running`; `accepted`: the target answered 202 and works on it; `finished`; `failed`; "
        "`lost`: the replica that made it died, or no report came in time; `cancelled`; or `released`: "
        "returned before sending, which counts as no attempt."
    )
    failure: str | None = Field(
        description="The kind of failure: `connect`, `dns`, `timeout`, `tls`, `protocol`, `blocked`, "
        "`redirect`, `status`, `pattern`, `gone`, `lost`, `silent`, `cancelled`, `reported`, `busy`, "
        "`template`."
    )
    error: str | None = Field(description="The same in a sentence.")
    httpstatus: int | None = Field(description="The status of the answer; null: there was none.")
    timing: dict[str, float] | None = Field(
        description="Milliseconds: dns, connect, tls (of a new connection), firstbyte, total."
    )
    excerpt: str | None = Field(description="The first 4 KiB of the answer.")
    progress: int | None = Field(description="What an accepted run told last: percent.")
    message: str | None = Field(description="What an accepted run told last: in words.")
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

    url: str = Field(description="The address that was called, with its values.")
    ok: bool = Field(description="Whether a run would have finished.")
    failure: str | None
    error: str | None
    httpstatus: int | None
    timing: dict[str, float]
    excerpt: str | None
