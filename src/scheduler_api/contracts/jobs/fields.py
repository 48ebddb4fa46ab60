"""What the author of a job decides."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from scheduler_api.contracts.jobs.targets import Link, Target
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
)
from scheduler_api.schedule import Fold, Gap, Misfire

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


#: What a job's answer has beside what its author decides. A job may be sent back as it was given.
READ_ONLY = frozenset({
    "jobid", "state", "pausedat", "pausereason", "pauseduntil", "pauseid", "nextrun", "lastrun",
    "laststatus", "failures", "lastsuccess", "openissues", "version", "createdat",
})  # fmt: skip
#: What becomes of the schedule of a job that is made to run after another one.
UNSCHEDULED: dict[str, Any] = dict.fromkeys(
    ("delay", "startdate", "starttime", "interval", "cron", "until", "maxruns")
) | {"repeat": False, "exclude": [], "calendars": [], "jitter": 0}


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
