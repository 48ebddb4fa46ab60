"""Jobs as their authors write and change them."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from scheduler_api.contracts.jobs.targets import Link, Target, TargetPatch, as_kept
from scheduler_api.contracts.values import (
    DEFAULT_PROJECT,
    MAX_ID,
    CalendarDate,
    CalendarNames,
    ClockTime,
    Count,
    CronText,
    Exclusions,
    Input,
    Instant,
    Jitter,
    JobName,
    OwnerName,
    ProjectName,
    Prose,
    Tags,
    ZoneName,
    days_of,
    invalid_at,
    without_defaults,
    without_nulls,
)
from scheduler_api.schedule import Definition, Fold, Gap, Misfire

T = TypeVar("T")
GapPolicy = Annotated[Gap, Field(strict=False)]
FoldPolicy = Annotated[Fold, Field(strict=False)]
MisfirePolicy = Annotated[Misfire, Field(strict=False)]


class Ending(StrEnum):
    """Results of an upstream run."""

    FINISHED = "finished"
    FAILED = "failed"
    ANY = "any"


class Record(StrEnum):
    """Of which runs rows are kept."""

    ALL = "all"
    FAILURES = "failures"


RecordPolicy = Annotated[Record, Field(strict=False)]


class After(Input):
    """The upstream job."""

    jobid: Annotated[int, Field(ge=1, le=MAX_ID)] = Field(description="The upstream job.")
    on: Annotated[Ending, Field(strict=False)] = Field(
        Ending.FINISHED, description="Run after runs of it that `finished`, `failed`, or `any`."
    )


class Monitor(Input):
    """What is expected of runs that are made elsewhere, and reported."""

    timeout: Count = Field(
        3600,
        description="How long a run may take that has reported its start, in seconds, before it counts as "
        "failed.",
    )


#: Seconds that a report may be late, unless it is said.
MONITOR_GRACE = 300
#: What says how this service makes runs. Those of a monitor are made elsewhere.
OF_RUNS_HERE = ("target", "after", "jitter", "overlap", "concurrency", "autopause")

#: What a job's answer has beside what its author decides. A job may be sent back as it was given.
READ_ONLY = frozenset({
    "jobid", "state", "pausedat", "pausereason", "pauseduntil", "pauseid", "nextrun", "lastrun",
    "laststatus", "failures", "lastsuccess", "openissues", "version", "createdat",
})  # fmt: skip
#: What becomes of the schedule of a job that is made to run after another one.
UNSCHEDULED: dict[str, Any] = dict.fromkeys(
    ("delay", "startdate", "starttime", "interval", "cron", "until", "maxruns")
) | {"repeat": False, "exclude": [], "calendars": [], "jitter": 0}

#: Fields that say when a job runs first.
INSTEAD_OF_START = ("cron", "interval", "after", "delay")


class JobFields(Input):
    """What the author of a job decides."""

    jobname: JobName = Field("", description="The name: 3 to 100 characters after trimming.")
    cron: CronText | None = Field(
        None,
        description="A cron expression in the job's time zone: five fields (minute, hour, day of month, "
        "month, day of week), six with seconds first, or @hourly, @daily, @weekly, "
        "@monthly, @yearly.",
    )
    interval: Count | None = Field(
        None, description="Seconds from one run to the next. Required if it repeats without `cron`."
    )
    after: After | None = Field(
        None,
        description="Instead of a schedule: run after another job's runs.",
    )
    delay: Count | None = Field(
        None, description="Instead of a start: seconds from now to the first run. Without `cron` only."
    )
    startdate: CalendarDate | None = Field(
        None,
        description="The date of the first run, in the job's time zone. Without one, an `interval` begins "
        "now: its first run is one interval away.",
    )
    starttime: ClockTime | None = Field(
        None,
        description="The time of the first run, in the job's time zone: HH:MM or HH:MM:SS. With `cron` it "
        "may be left out; it is then midnight of `startdate`.",
    )
    timezone: ZoneName = Field(
        "UTC", description="The IANA time zone of dates, times and the cron expression."
    )
    repeat: bool | None = Field(
        None, description="Whether the job repeats. Null: as `cron` and `interval` imply."
    )
    until: Instant | None = Field(
        None, description="The last time at which the job may run; RFC 3339 with an offset."
    )
    maxruns: Count | None = Field(
        None, description="How often the schedule may run the job; it is completed after that."
    )
    exclude: Exclusions = Field(
        default_factory=list,
        description="Dates on which the job does not run, in its time zone: dates (2030-12-25) and "
        "ranges (2030-12-24/2031-01-01, both ends included). Their runs are `skipped: "
        "excluded`.",
    )
    calendars: CalendarNames = Field(
        default_factory=list,
        description="Calendars on whose days the job does not run either; see `PUT /calendars/{name}`.",
    )
    dstgap: GapPolicy = Field(
        Gap.AFTER,
        description="A time that daylight saving skips: run right `after` it, or `skip` it.",
    )
    dstfold: FoldPolicy = Field(
        Fold.ONCE,
        description="A time that daylight saving repeats: run `once`, the first time, or `both` times.",
    )
    jitter: Jitter = Field(
        0,
        description="Delays each run by a fixed, job-specific offset of up to this many seconds. The "
        "schedule itself does not move.",
    )
    misfire: MisfirePolicy = Field(
        Misfire.ONCE,
        description="What to do with missed runs: `once` for all of them, `all` in order (the newest "
        "thousand at most), or `skip` those later than the grace period. Of a monitor it is `skip`.",
    )
    grace: Count = Field(
        60,
        description="How late a run may start, in seconds, before `skip` or `until` drops it. Of a monitor: "
        "how late its report may be; left out, 300.",
    )
    project: ProjectName = Field(
        DEFAULT_PROJECT,
        description="The project that the job belongs to. Of those who may work in one project only, it is "
        "that one.",
    )
    tags: Tags = Field(default_factory=list, description="Up to 20 tags of 1 to 50 characters.")
    description: Prose = Field("", description="What the job is for: up to 2,000 characters.")
    owner: OwnerName = Field("", description="Who looks after it: a person, a team, an address.")
    runbook: Link = Field("", description="A link to what to do when it fails; shown where it fails.")
    target: Target | None = Field(
        None, description="The HTTP request that each run makes. Without a target a run is only recorded."
    )
    monitor: Monitor | None = Field(
        None,
        description="Instead of a target: the job expects a call to an address of its own, by which a run "
        "that is made elsewhere is reported. See `GET /jobs/{jobid}/monitor`.",
    )
    overlap: bool = Field(
        False,
        description="Whether a run may start while the previous one is running. Otherwise it waits, and "
        "what was missed meanwhile follows `misfire`.",
    )
    concurrency: Count | None = Field(
        None,
        description="How many runs of the job may be in progress at once, whatever their cause. "
        "Default: 1, or unlimited with `overlap`.",
    )
    autopause: Count | None = Field(
        None, description="Pause the job after this many consecutive failures. Default: never."
    )
    lateafter: Count | None = Field(
        None,
        description="A run that has not started this many seconds after it was due is late. Default: 60; a "
        "monitor is late only if this is set.",
    )
    stuckafter: Count | None = Field(
        None,
        description="A run that takes longer than this many seconds is stuck. Default: three times as long "
        "as 95 of 100 runs, and over a minute, once 20 have finished.",
    )
    silentafter: Count | None = Field(
        None,
        description="A job without a success for this many seconds is silent. Default: since the last two "
        "runs that were due.",
    )
    recoverafter: Count = Field(
        1,
        description="After how many runs in a row that finished a failure counts as over.",
    )
    record: RecordPolicy = Field(
        Record.ALL,
        description="Of which scheduled runs rows are kept: `all`, or `failures`. Then those that finished "
        "are counted, and their rows deleted about two days later; so are those of earlier runs.",
    )


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


#: The same, and what has verbs of its own.
NOT_EDITED = READ_ONLY | {"active"}


def merge(current: Any, changes: Any) -> Any:
    """A JSON document with the changes of a merge patch (RFC 7396); at the top, null is a value."""
    return current | {name: _merged(current.get(name), value) for name, value in changes.items()}


def _merged(current: Any, changes: Any) -> Any:
    if not isinstance(changes, dict):
        return changes
    known = current if isinstance(current, dict) else {}
    merged = known | {name: _merged(known.get(name), value) for name, value in changes.items()}
    return {name: value for name, value in merged.items() if value is not None or name not in changes}


class AfterPatch(After):
    """Changes to what a job runs after."""

    model_config = ConfigDict(json_schema_extra=lambda schema: without_defaults(schema, {"on": "any"}))

    jobid: Annotated[int, Field(ge=1, le=MAX_ID)] = Field(0, description="The upstream job.")


class MonitorPatch(Monitor):
    """Changes to a job's monitor."""

    model_config = ConfigDict(json_schema_extra=lambda schema: without_defaults(schema, {"timeout": 7200}))


class JobPatch(JobFields):
    """Changes to a job: what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra=lambda schema: without_defaults(
            schema, {"jobname": "Nightly report, new"}, {"cron": "0 3 * * *"}, {"target": {"timeout": 5}}
        )
    )

    after: AfterPatch | None = Field(None, description="The changes to it; null: a schedule of its own.")
    target: TargetPatch | None = Field(None, description="The changes to it; null: no target any more.")
    monitor: MonitorPatch | None = Field(None, description="The changes to it; null: no monitor any more.")

    _seen: dict[str, Any] = PrivateAttr(default_factory=dict)
    _gone: list[str] = PrivateAttr(default_factory=list)
    _is_whole: bool = PrivateAttr(False)

    @classmethod
    def of(cls, draft: JobFields, fields: set[str]) -> "JobPatch":
        """These fields of a draft, each as a whole: what is in them now and not in the draft goes."""
        patch = cls.model_validate_json(draft.model_dump_json(include=fields))
        patch._is_whole = True  # noqa: SLF001 - its own
        return patch

    @model_validator(mode="wrap")
    @classmethod
    def _set_apart(cls, data: Any, handler: ModelWrapValidatorHandler["JobPatch"]) -> "JobPatch":
        rest, gone = without_nulls(cls, data)
        if not isinstance(rest, dict):
            return handler(rest)
        patch = handler({name: value for name, value in rest.items() if name not in NOT_EDITED})
        patch._gone.extend(gone)  # noqa: SLF001 - its own class
        patch._seen.update({name: value for name, value in data.items() if name in NOT_EDITED})  # noqa: SLF001 - its own class
        return patch

    @property
    def seen(self) -> dict[str, Any]:
        """What cannot be edited, as the client has seen it: it must be so still."""
        return self._seen

    @property
    def changes(self) -> dict[str, Any]:
        """What was given, as JSON has it; null: it becomes what it is without being given."""
        given = self.model_dump(mode="json", exclude_unset=True)
        if self.target is not None and "target" in given:
            given["target"] = self.target.changes
        return given | dict.fromkeys(self._gone)

    def applied_to(self, current: dict[str, Any]) -> dict[str, Any]:
        """The fields of a job with these changes; the kind of schedule follows the field that is given."""
        changes = self.changes
        merged = current | changes if self._is_whole else merge(current, changes)
        if changes.get("after") is not None:
            merged |= {name: none for name, none in UNSCHEDULED.items() if name not in changes}
            return self._without_gone(merged)
        if "after" not in changes and UNSCHEDULED.keys() & changes.keys():
            merged["after"] = None
        if changes.get("delay") is not None:
            merged |= dict.fromkeys({"startdate", "starttime"} - changes.keys())
        if changes.get("cron") is not None and "interval" not in changes:
            merged["interval"] = None
        if changes.get("interval") is not None and "cron" not in changes:
            merged["cron"] = None
        if "repeat" not in changes and {"cron", "interval"} & changes.keys():
            merged["repeat"] = merged["cron"] is not None or merged["interval"] is not None
        return self._without_gone(merged)

    def _without_gone(self, merged: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in merged.items() if value is not None or name not in self._gone}
