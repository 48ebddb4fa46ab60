"""Schedules: asked about before a job has them, and looked ahead."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.values import JobName


class Occurrence(BaseModel):
    """An instant that a schedule calls for."""

    scheduledfor: datetime = Field(description="The instant, in UTC.")
    startsat: datetime = Field(description="When it starts: later by the job's share of its jitter.")
    local: str = Field(description="The time in the job's time zone, with the offset.")
    relative: str = Field(description="How far it is from now.")
    note: str | None = Field(None, description="What is special: daylight saving, or an excluded date.")
    runs: bool = Field(True, description="Whether the job runs then; the note says why not.")


class ScheduleDraft(JobDraft):
    """A schedule to look at; of a job's fields, its name may be missing."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"cron": "30 2 * * *", "timezone": "America/New_York"}]}
    )

    jobname: JobName = "Preview"
    count: Annotated[int, Field(ge=1, le=100)] = Field(10, description="How many occurrences to show.")


class SchedulePreview(BaseModel):
    """A schedule in words, and its next occurrences."""

    words: str = Field(description="The schedule in words, with its time zone.")
    timezone: str
    occurrences: list[Occurrence]
    complete: bool = Field(description="Whether all that were asked for were computed; else time ran out.")


class Upcoming(Occurrence):
    """An occurrence of one of many jobs."""

    jobid: int
    jobname: str
    timezone: str


class EditPreview(BaseModel):
    """What an edit would change."""

    words: str = Field(description="The new schedule in words.")
    until: datetime = Field(description="How far they are compared: 30 days, unless it was cut short.")
    complete: bool = Field(
        description="Whether all of the next 30 days were compared; else as many occurrences as can be."
    )
    disappear: list[Occurrence] = Field(description="Runs that would no longer happen; up to 100.")
    appear: list[Occurrence] = Field(description="Runs that would be new; up to 100.")
    disappearing: int = Field(description="How many runs would no longer happen.")
    appearing: int = Field(description="How many runs would be new.")
    superseded: int = Field(
        description="Runs that are due already and would be written off instead of caught up."
    )
