"""Mutes: times in which alerts are held back, such as maintenance windows."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from scheduler_api.contracts.values import (
    MAX_ID,
    CronText,
    Input,
    Instant,
    Output,
    ProjectName,
    Tag,
    ZoneName,
    clean_text,
    invalid_at,
)

#: Minutes of a window: a week.
MAX_MINUTES = 7 * 24 * 60
Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(clean_text)]


class MuteDraft(Input):
    """A mute to add: once, until an instant; or again and again, on a cron."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"tag": "crm", "until": "2030-02-01T06:00:00Z", "reason": "The CRM moves."},
                {"project": "billing", "cron": "0 2 * * 0", "timezone": "Europe/Berlin", "minutes": 120},
            ]
        }
    )

    project: ProjectName | None = Field(None, description="Only of jobs in this project.")
    tag: Tag | None = Field(None, description="Only of jobs with this tag.")
    jobid: Annotated[int, Field(ge=1, le=MAX_ID)] | None = Field(None, description="Only of this job.")
    since: Instant | None = Field(None, description="From when on; null: from now on.")
    until: Instant | None = Field(None, description="Until when.")
    cron: CronText | None = Field(None, description="When windows begin, instead of `since` and `until`.")
    timezone: ZoneName = Field("UTC", description="The time zone of `cron`.")
    minutes: Annotated[int, Field(ge=1, le=MAX_MINUTES)] | None = Field(
        None, description="How long each window lasts, with `cron`."
    )
    reason: Reason = Field("", description="Up to 200 characters.")

    @model_validator(mode="after")
    def _is_once_or_on_a_cron(self) -> Self:
        if self.cron is None:
            if self.until is None:
                raise invalid_at("until", "Is needed without `cron`.")
            if self.minutes is not None:
                raise invalid_at("minutes", "Is for windows on a `cron`.")
            return self
        if self.minutes is None:
            raise invalid_at("minutes", "Is needed with `cron`.")
        for name in ("since", "until"):
            if getattr(self, name) is not None:
                raise invalid_at(name, "Is not for windows on a `cron`.")
        return self

    @property
    def scope(self) -> dict[str, Any]:
        """Of which jobs."""
        return {"project": self.project, "tag": self.tag, "jobid": self.jobid}


class Mute(Output):
    """A time in which alerts are held back."""

    muteid: int
    project: str | None
    tag: str | None
    jobid: int | None
    since: datetime = Field(description="When it began, or begins next.")
    until: datetime = Field(description="When that ends.")
    cron: str | None
    timezone: str
    minutes: int | None
    reason: str
    createdat: datetime
    createdby: str | None
    words: str = Field(description="The mute in words.")
