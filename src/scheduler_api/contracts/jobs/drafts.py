"""Jobs as their authors write them."""

from collections.abc import Iterable
from typing import Any, Self, TypeVar

from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from scheduler_api.contracts.jobs.fields import READ_ONLY, UNSCHEDULED, JobFields
from scheduler_api.contracts.jobs.targets import as_kept
from scheduler_api.contracts.values import JobName, days_of, invalid_at
from scheduler_api.schedule import Definition, Misfire

T = TypeVar("T")

#: Fields that say when a job runs first.
INSTEAD_OF_START = ("cron", "interval", "after", "delay")
#: Seconds that a report may be late, unless it is said.
MONITOR_GRACE = 300
#: What says how this service makes runs. Those of a monitor are made elsewhere.
OF_RUNS_HERE = ("target", "after", "jitter", "overlap", "concurrency", "autopause")


class JobDraft(JobFields):
    """A job as a client writes it."""

    model_config = ConfigDict(
        # A start that is left out may be missing.
        validate_default=True,
        json_schema_extra={
            "examples": [
                {
                    "jobname": "Monthly invoices",
                    "startdate": "2030-01-31",
                    "starttime": "02:00",
                    "timezone": "Europe/Berlin",
                },
                {"jobname": "Heartbeat", "interval": 90},
                {"jobname": "Reminder", "delay": 600, "target": {"url": "https://example.com/remind"}},
                {
                    "jobname": "Nightly report",
                    "cron": "30 2 * * MON-FRI",
                    "timezone": "Europe/Berlin",
                    "exclude": ["2030-12-24/2031-01-01"],
                    "tags": ["reports"],
                },
                {
                    "jobname": "Sync with the warehouse",
                    "cron": "*/15 * * * *",
                    "target": {"url": "https://example.com/sync", "body": {"run": "{{logid}}"}},
                    "autopause": 10,
                },
                {
                    "jobname": "Nightly backup",
                    "cron": "30 1 * * *",
                    "timezone": "Europe/Berlin",
                    "grace": 1800,
                    "monitor": {"timeout": 7200},
                },
            ]
        },
    )

    _calendardays: tuple[str, ...] = PrivateAttr(())
    _calendarversion: int = PrivateAttr(0)

    jobname: JobName = Field(description="The name: 3 to 100 characters after trimming.")
    active: bool = Field(
        True, description="Whether the job is scheduled. A job created with `false` is paused."
    )

    @model_validator(mode="before")
    @classmethod
    def _of_another_job(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if name not in READ_ONLY}

    @field_validator("startdate", "starttime")
    @classmethod
    def _given_unless_implied(cls, value: T | None, info: ValidationInfo) -> T | None:
        # What has an error of its own is not among the data.
        if value is None and all(info.data.get(name, "") is None for name in INSTEAD_OF_START):
            raise PydanticCustomError("start", "Required unless `cron`, `interval` or `delay` is set.")
        return value

    @model_validator(mode="after")
    def _kind_is_clear(self) -> "JobDraft":
        if self.after is not None:
            self._check_after()
        else:
            self._check_repetition()
        if self.repeat is None:
            implied = self.cron is not None or self.interval is not None
            object.__setattr__(self, "repeat", implied)
        if self.monitor is not None:
            self._check_monitor()
        if not self.overlap and (self.concurrency or 1) > 1:
            raise invalid_at("concurrency", "Values above 1 require `overlap` to be true.")
        return self

    def _check_after(self) -> None:
        for name in UNSCHEDULED:
            if getattr(self, name):
                raise invalid_at(name, "A job that runs after another has no schedule; leave this out.")

    def _check_monitor(self) -> None:
        for name in OF_RUNS_HERE:
            if getattr(self, name):
                raise invalid_at(name, "The runs of a monitor are made elsewhere; leave this out.")
        object.__setattr__(self, "misfire", Misfire.SKIP)
        if "grace" not in self.model_fields_set:
            object.__setattr__(self, "grace", MONITOR_GRACE)

    def _check_repetition(self) -> None:
        if self.cron is not None and self.interval is not None:
            raise invalid_at("interval", "A job has an interval or a cron expression, not both.")
        if self.starttime is not None and self.startdate is None:
            raise invalid_at("startdate", "A start time needs a start date.")
        if self.cron is None and self.startdate is not None and self.starttime is None:
            raise invalid_at("starttime", "A start date needs a start time.")
        if self.delay is not None and (self.cron is not None or self.startdate is not None):
            raise invalid_at("delay", "A delay stands instead of a start, and not beside `cron`.")
        if self.repeat and self.cron is None and self.interval is None:
            raise invalid_at(
                "interval", "A job that repeats needs an interval, in seconds, or a cron expression."
            )
        if self.repeat is False and self.cron is not None:
            raise invalid_at("repeat", "A cron expression repeats; leave repeat out, or make it true.")
        if self.repeat is False and self.interval is not None:
            raise invalid_at(
                "interval", "An interval needs repeat to be true; leave it out for a job that runs once."
            )

    def with_days(self, days: Iterable[str], version: int) -> Self:
        """The same, with the days of its calendars, and the newest version among these."""
        known = self.model_copy()
        known._calendardays, known._calendarversion = tuple(days), version  # noqa: SLF001 - its own
        return known

    @property
    def values(self) -> dict[str, Any]:
        """What the row of the job holds: what is written here, and what follows from it."""
        return (
            self.model_dump(exclude={"target"})
            | {"target": None if self.target is None else as_kept(self.target)}
            | {"kind": self.kind, "host": self.host, "calendardays": [*self._calendardays]}
            | {"calendarversion": self._calendarversion, "secretnames": self.secretnames}
        )

    @property
    def kind(self) -> str:
        """What its runs do, as LogKind says it."""
        if self.monitor is not None:
            return "monitor"
        return "plain" if self.target is None else "http"

    @property
    def host(self) -> str | None:
        """Which host its runs call; None: they call nothing."""
        return None if self.target is None else self.target.host

    @property
    def secretnames(self) -> list[str]:
        """The secrets of its project that its target names, in order."""
        return [] if self.target is None else sorted({name for name, _ in self.target.secrets.values()})

    @property
    def definition(self) -> Definition:
        """What the job says about when it runs."""
        return Definition(
            self.startdate,
            self.starttime,
            self.timezone,
            self.interval,
            self.cron,
            self.until,
            tuple(days_of(text) for text in (*self.exclude, *self._calendardays)),
            self.dstgap,
            self.dstfold,
        )
