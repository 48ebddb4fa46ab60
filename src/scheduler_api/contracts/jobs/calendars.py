"""Calendars: named lists of days on which the jobs that name them do not run."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from scheduler_api.contracts.jobs.schedules import Occurrence
from scheduler_api.contracts.values import MAX_CALENDAR_DAYS, CalendarDays, Input, Output, Prose

#: How many jobs a report tells of, and how many runs of each.
NAMED_JOBS, NAMED_RUNS = 1000, 10


def _in_order(days: list[str]) -> list[str]:
    return sorted(set(days))


class CalendarDraft(Input):
    """A calendar as its author writes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"description": "Public holidays in Germany", "days": ["2030-12-25/2030-12-26", "2031-01-01"]}
            ]
        }
    )

    days: Annotated[CalendarDays, AfterValidator(_in_order)] = Field(
        description="Dates (2030-12-25) and ranges (2030-12-24/2031-01-01, both ends included), at most "
        f"{MAX_CALENDAR_DAYS}. Each job means them in its own time zone."
    )
    description: Prose = Field("", description="What the days are: up to 2,000 characters.")


class CalendarSummary(Output):
    """A calendar without its days."""

    name: str
    description: str
    jobs: int = Field(description="How many jobs go by it.")
    changedat: datetime


class Calendar(CalendarSummary):
    """A calendar."""

    days: list[str]


class CalendarEffect(Output):
    """What a change of a calendar does to the runs of a job."""

    jobid: int
    jobname: str
    timezone: str
    disappearing: int = Field(
        description="How many runs of its schedule it takes away, whatever `maxruns` leaves of them."
    )
    disappear: list[Occurrence] = Field(description="The first of them, up to 10.")
    appearing: int = Field(description="How many it adds.")
    appear: list[Occurrence] = Field(description="The first of them, up to 10.")


class CalendarReport(Output):
    """What a change of a calendar does."""

    name: str
    dryrun: bool
    added: list[str] = Field(description="Days that the calendar did not have.")
    removed: list[str] = Field(description="Days that it no longer has.")
    jobs: list[CalendarEffect] = Field(description="The jobs whose runs change, up to 1,000.")
    complete: bool = Field(description="Whether all runs of all jobs were looked at within the time limit.")
    behind: int = Field(
        description="How many jobs do not go by the change yet: it is made job by job, within a minute."
    )
