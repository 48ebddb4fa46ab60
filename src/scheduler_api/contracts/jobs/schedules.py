"""Schedules: asked about before a job has them, and looked ahead."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.values import JobName, Output


class Occurrence(Output):
    """An instant of a schedule."""

    scheduledfor: datetime = Field(description="The instant, in UTC.")
    startsat: datetime = Field(description="When it starts: the occurrence plus the job's jitter offset.")
    local: str = Field(description="The time in the job's time zone, with the offset.")
    relative: str = Field(description="The time from now, in words.")
    note: str | None = Field(None, description="Daylight saving, or an excluded date.")
    runs: bool = Field(True, description="Whether the job will run. If not, the note says why.")


class ScheduleDraft(JobDraft):
    """A schedule to look at; of a job's fields, its name may be missing."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"cron": "30 2 * * *", "timezone": "America/New_York"}]}
    )

    jobname: JobName = "Preview"
    count: Annotated[int, Field(ge=1, le=100)] = Field(10, description="How many occurrences to show.")


class SchedulePreview(Output):
    """A schedule in words, and its next occurrences."""

    words: str = Field(description="The schedule in words, with its time zone.")
    timezone: str
    occurrences: list[Occurrence]
    complete: bool = Field(
        description="Whether all requested occurrences were computed within the time limit."
    )


class Upcoming(Occurrence):
    """A future occurrence, with its job."""

    jobid: int
    jobname: str
    timezone: str


class EditPreview(Output):
    """What an edit would change."""

    words: str = Field(description="The new schedule in words.")
    until: datetime = Field(description="The end of the comparison: 30 days ahead, unless it was cut short.")
    complete: bool = Field(description="Whether all of the next 30 days were compared.")
    disappear: list[Occurrence] = Field(description="Runs that would be removed, up to 100.")
    appear: list[Occurrence] = Field(description="Runs that would be added, up to 100.")
    disappearing: int = Field(description="The number of removed runs.")
    appearing: int = Field(description="The number of added runs.")
    superseded: int = Field(description="Due runs that would be skipped as `superseded`.")
