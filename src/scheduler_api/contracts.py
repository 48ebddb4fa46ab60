"""What goes in and what comes out, as Pydantic models."""

import re
import unicodedata
from datetime import date, datetime, time
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from scheduler_api.schedule import Misfire, is_zone

#: The largest jobid and logid: both are bigint.
LARGEST_ID = 2**63 - 1
#: The largest integer column: about 68 years, as seconds.
LARGEST_INTERVAL = 2**31 - 1

DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
CLOCK = re.compile(r"\d{2}:\d{2}(:\d{2})?", re.ASCII)
#: Control characters, surrogates, and the separators that end a line.
UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}


def _flaw(code: str, message: str) -> PydanticCustomError:
    return PydanticCustomError(code, message)


def _clean_text(value: str) -> str:
    if any(unicodedata.category(character) in UNPRINTABLE for character in value):
        raise _flaw("unprintable", "Must not contain control characters or half characters.")
    return unicodedata.normalize("NFC", value)


def _date(value: object) -> object:
    if not isinstance(value, str) or not DATE.fullmatch(value):
        raise _flaw("date", "Must be a date such as 2030-01-31.")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise _flaw("date", "There is no such day in the calendar.") from None


def _clock(value: object) -> object:
    if not isinstance(value, str) or not CLOCK.fullmatch(value):
        raise _flaw("time", "Must be a time of day such as 09:30 or 09:30:15.")
    try:
        return time.fromisoformat(value)
    except ValueError:
        raise _flaw("time", "There is no such time of day.") from None


def _zone(value: str) -> str:
    if not is_zone(value):
        raise _flaw("timezone", "There is no such time zone; give an IANA name such as Europe/Berlin.")
    return value


JobName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=3, max_length=100),
    AfterValidator(_clean_text),
]
CalendarDate = Annotated[
    date,
    BeforeValidator(_date),
    WithJsonSchema({"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}),
]
ClockTime = Annotated[
    time,
    BeforeValidator(_clock),
    WithJsonSchema({"type": "string", "pattern": r"^\d{2}:\d{2}(:\d{2})?$"}),
]
ZoneName = Annotated[str, StringConstraints(max_length=100), AfterValidator(_zone)]


class JobDraft(BaseModel):
    """A job as a client writes it."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "jobname": "Nightly report",
                    "startdate": "2030-01-31",
                    "starttime": "02:00",
                    "timezone": "Europe/Berlin",
                },
                {
                    "jobname": "Heartbeat",
                    "startdate": "2030-01-31",
                    "starttime": "00:00:30",
                    "repeat": True,
                    "interval": 90,
                },
            ]
        },
    )

    jobname: JobName = Field(description="What the job is called: 3 to 100 characters after trimming.")
    startdate: CalendarDate = Field(description="The day of the first run, in the job's time zone.")
    starttime: ClockTime = Field(
        description="The time of the first run, in the job's time zone: HH:MM or HH:MM:SS."
    )
    timezone: ZoneName = Field(
        "UTC", description="The IANA time zone that startdate and starttime are meant in."
    )
    repeat: bool = Field(False, description="Whether the job runs again and again.")
    interval: Annotated[int, Field(ge=1, le=LARGEST_INTERVAL)] | None = Field(
        None, description="Seconds from one run to the next; needed with repeat, refused without."
    )
    active: bool = Field(True, description="Whether the job is scheduled. An inactive job has no log.")
    misfire: Annotated[Misfire, Field(strict=False)] = Field(
        Misfire.ONCE,
        description="What to do with runs found late: `once` for all that were missed, `all` of them "
        "in order, or `skip` those later than the grace period.",
    )
    grace: int = Field(
        60,
        ge=1,
        le=LARGEST_INTERVAL,
        description="How late a run may be, in seconds, before `skip` drops it.",
    )

    @model_validator(mode="after")
    def _repeat_goes_with_interval(self) -> "JobDraft":
        if self.repeat and self.interval is None:
            raise PydanticCustomError(
                "interval",
                "A job that repeats needs an interval, in seconds.",
                {"field": "interval"},
            )
        if not self.repeat and self.interval is not None:
            raise PydanticCustomError(
                "interval",
                "An interval needs repeat to be true; leave it out for a job that runs once.",
                {"field": "interval"},
            )
        return self


class Job(BaseModel):
    """A job as it stands."""

    model_config = ConfigDict(json_schema_extra={"required": []})

    jobid: int
    jobname: str
    startdate: date
    starttime: Annotated[time, WithJsonSchema({"type": "string", "pattern": r"^\d{2}:\d{2}:\d{2}$"})]
    timezone: str
    repeat: bool
    interval: int | None
    active: bool = Field(description="False once the job has no future run.")
    misfire: Misfire
    grace: int
    nextrun: datetime | None = Field(description="When the job will run next; null: not at all.")
    lastrun: datetime | None = Field(description="When it ran last; null: never yet.")
    laststatus: str | None = Field(description="The verdict of the latest occurrence; null: none yet.")


class Log(BaseModel):
    """The record of one occurrence: first a promise, then a verdict."""

    logid: int
    jobid: int
    scheduledfor: datetime = Field(description="The occurrence: the instant that the schedule called for.")
    nextrun: datetime | None = Field(description="When this log will be tried; null once it has a verdict.")
    lastrun: datetime | None = Field(
        description="While pending: when the job ran before. Afterwards: when this one ran."
    )
    status: str = Field(description="`pending`, `running`, `finished`, `failed` or `skipped`.")
    cause: str = Field(description="Why it ran: `schedule`.")
    attempt: int = Field(description="Which try this is, from 1.")
    missed: int = Field(description="How many further occurrences this log stands for.")
    startedat: datetime | None
    finishedat: datetime | None
    reason: str | None = Field(description="Why it was skipped: `misfire`.")
    error: str | None = Field(description="What went wrong, if it failed.")


class JobWithLogs(BaseModel):
    """A job and its logs, newest first."""

    job: Job
    logs: list[Log]


class RunReport(BaseModel):
    """What a call of `POST /jobs/run` did."""

    message: str
    finished: int = Field(description="Occurrences that ran.")
    failed: int = Field(description="Occurrences that failed.")
    skipped: int = Field(description="Occurrences that were dropped as too late.")
    healed: int = Field(description="Jobs that had lost their promise and got it back.")
    more: bool = Field(description="Whether the call stopped before everything due was run; call again.")


class Health(BaseModel):
    """How a part of the service does."""

    status: str
    checks: dict[str, Any] = Field(default_factory=dict)


class ProblemFlaw(BaseModel):
    """One thing that is wrong with the input."""

    pointer: str = Field(description="Where: a JSON pointer into the body, or `?name` for a query parameter.")
    detail: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str = Field(description="A stable name of the error.")
    errors: list[ProblemFlaw] | None = None
