"""Channels, where people are told of issues, and the rules that say of which."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from scheduler_api.contracts.alerts.issues import JobIssue, JobIssueKind
from scheduler_api.contracts.bodies import body_error
from scheduler_api.contracts.values import (
    MAX_ID,
    Input,
    Output,
    ProjectName,
    Tag,
    clean_text,
    invalid,
    invalid_at,
)
from scheduler_api.targets import templates, urls

MAX_URL, MAX_TOKEN, MAX_RECIPIENTS = 2000, 500, 20
ADDRESS = re.compile(r"[^@\s<>,;:\"()\\]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
#: Printable, and nothing that would end a header or a segment of a path.
TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)


class ChannelKind(StrEnum):
    """Which service a channel is. `webhook`: an address of your own. `apprise`: a server of Apprise API."""

    WEBHOOK = "webhook"
    EMAIL = "email"
    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"
    TELEGRAM = "telegram"
    NTFY = "ntfy"
    PAGERDUTY = "pagerduty"
    OPSGENIE = "opsgenie"
    APPRISE = "apprise"


#: What each kind needs, and what it may have; of those with an address of their own that is the default.
NEEDED: dict[ChannelKind, tuple[str, ...]] = {
    ChannelKind.WEBHOOK: ("url",),
    ChannelKind.EMAIL: ("recipients",),
    ChannelKind.SLACK: ("url",),
    ChannelKind.DISCORD: ("url",),
    ChannelKind.TEAMS: ("url",),
    ChannelKind.TELEGRAM: ("token", "chat"),
    ChannelKind.NTFY: ("url",),
    ChannelKind.PAGERDUTY: ("token",),
    ChannelKind.OPSGENIE: ("token",),
    ChannelKind.APPRISE: ("url",),
}
ALLOWED: dict[ChannelKind, tuple[str, ...]] = {
    ChannelKind.WEBHOOK: ("body",),
    ChannelKind.TELEGRAM: ("url",),
    ChannelKind.NTFY: ("token",),
    ChannelKind.PAGERDUTY: ("url",),
    ChannelKind.OPSGENIE: ("url",),
}
DEFAULT_URLS = {
    ChannelKind.TELEGRAM: "https://api.telegram.org",
    ChannelKind.PAGERDUTY: "https://events.pagerduty.com/v2/enqueue",
    ChannelKind.OPSGENIE: "https://api.opsgenie.com/v2/alerts",
}


def _url(value: str) -> str:
    wrong = urls.error_in(value)
    if wrong is not None:
        raise invalid("url", wrong)
    return value


def _token(value: str) -> str:
    if not TOKEN.fullmatch(value):
        raise invalid("token", "Must be printable ASCII characters without spaces.")
    return value


def _mail_address(value: str) -> str:
    if not ADDRESS.fullmatch(value) or ".." in value:
        raise invalid("address", "Must be an e-mail address such as ops@example.com.")
    return value


def _template(value: dict[str, Any]) -> dict[str, Any]:
    wrong = templates.error_within(value, templates.ALERT_NAMES) or body_error(value)
    if wrong is not None:
        raise invalid("body", wrong)
    return value


ChannelName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50), AfterValidator(clean_text)
]
Secret = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TOKEN)]


class ChannelSecrets(BaseModel):
    """What is kept encrypted of a channel: who knows it can write there."""

    url: str
    token: str | None = None
    chat: str | None = None
    secret: str | None = None
    """Signs what a webhook is sent."""
    body: dict[str, Any] | None = None
    """What a webhook is sent, with placeholders; None: all there is to say. It may hold keys of its own."""


class ChannelDraft(Input):
    """A channel to add, or to write anew."""

    model_config = ConfigDict(
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {"name": "#ops", "kind": "slack", "url": "https://hooks.slack.com/services/T0/B0/x"},
                {"name": "On call", "kind": "email", "recipients": ["oncall@example.com"]},
                {
                    "name": "Lights",
                    "kind": "webhook",
                    "url": "https://lights.example.com/",
                    "body": {"say": "{{title}}", "because": "{{text}}"},
                },
            ]
        },
    )

    name: ChannelName = Field(description="1 to 50 characters, such as `#ops`.")
    kind: Annotated[ChannelKind, Field(strict=False)]
    url: (
        Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_URL), AfterValidator(_url)]
        | None
    ) = Field(
        None, description="Where messages are sent. No answer contains it, as who knows it can write there."
    )
    token: Annotated[Secret, AfterValidator(_token)] | None = Field(
        None,
        description="The bot token of Telegram, the access token of ntfy, the integration key of PagerDuty "
        "or the API key of Opsgenie. No answer contains it.",
    )
    chat: Annotated[Secret, AfterValidator(_token)] | None = Field(
        None, description="The id of the chat in Telegram."
    )
    recipients: Annotated[
        list[Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_mail_address)]],
        Field(max_length=MAX_RECIPIENTS),
    ] = Field([], description="E-mail addresses.")
    body: Annotated[dict[str, Any], AfterValidator(_template)] | None = Field(
        None,
        description="What a webhook is sent instead of all that there is to say: a JSON object whose strings "
        f"may contain placeholders ({', '.join(f'`{{{{{name}}}}}`' for name in templates.ALERT_NAMES)}). "
        "No answer contains it.",
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        needed, allowed = NEEDED[self.kind], ALLOWED.get(self.kind, ())
        for name in ("url", "token", "chat", "recipients", "body"):
            if name in needed and not getattr(self, name):
                raise invalid_at(name, f"Is needed for a channel of kind {self.kind}.")
            if name not in needed + allowed and getattr(self, name):
                raise invalid_at(name, f"A channel of kind {self.kind} has none.")
        if self.kind is ChannelKind.NTFY and self.url is not None and not urlsplit(self.url).path.strip("/"):
            raise invalid_at("url", "Must end with the topic, such as https://ntfy.sh/my-topic.")
        return self

    @property
    def address(self) -> str | None:
        """Where messages are sent; None: it is mail."""
        return self.url or DEFAULT_URLS.get(self.kind)


class Channel(Output):
    """A channel, without what is secret of it."""

    channelid: int
    name: str
    kind: ChannelKind
    recipients: list[str]
    origin: str | None = Field(description="Scheme, host and port that messages are sent to; null of e-mail.")
    createdat: datetime
    changedat: datetime
    lastsent: datetime | None = Field(description="When it last took a message.")
    failures: int = Field(description="How many attempts in a row have failed.")
    failingsince: datetime | None
    error: str | None = Field(description="Why the last one did.")
    waiting: int = Field(description="How many alerts are waiting, counted up to 1,000.")


class NewChannel(Channel):
    """A channel that was just added."""

    secret: str | None = Field(
        description="Signs what a webhook is sent, by Standard Webhooks. It is not shown again."
    )


#: What a rule is about unless it says so. That a run is late often ends by itself.
USUAL_KINDS: list[JobIssueKind] = [kind for kind in JobIssueKind if kind != JobIssueKind.LATE]


class RuleDraft(Input):
    """A rule to add: of which issues a channel is told."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"channelid": 1},
                {"channelid": 2, "project": "billing", "tag": "nightly", "kinds": ["failed"], "after": 3},
            ]
        }
    )

    channelid: int = Field(ge=1, le=MAX_ID, description="Which channel is told.")
    project: ProjectName | None = Field(None, description="Only of jobs in this project.")
    tag: Tag | None = Field(None, description="Only of jobs with this tag.")
    jobid: Annotated[int, Field(ge=1, le=MAX_ID)] | None = Field(None, description="Only of this job.")
    kinds: Annotated[
        list[Annotated[JobIssueKind, Field(strict=False)]], Field(max_length=len(JobIssueKind))
    ] = Field(USUAL_KINDS, description="Which kinds of issues. Empty: of no job, with `service`.")
    service: bool | None = Field(
        None,
        description="Whether it is also told of issues of the service itself: its database, replicas, disk "
        "and channels. Null: if the rule covers all jobs.",
    )
    after: int = Field(1, ge=1, le=1000, description="After how many failures in a row it is told of a job.")
    outof: Annotated[int, Field(ge=2, le=100)] | None = Field(
        None, description="Not in a row: `after` failures among this many of the newest runs."
    )
    reminds: bool = Field(
        True, description="Whether it is told again, after 6 hours and then daily, while an issue is open."
    )
    recovers: bool = Field(True, description="Whether it is told when an issue is over.")

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.outof is not None and self.outof < self.after:
            raise invalid_at("outof", "Must be at least `after`.")
        if not self.kinds and not self.service:
            raise invalid_at("kinds", "Choose at least one kind, or `service`.")
        return self

    @property
    def values(self) -> dict[str, Any]:
        """The columns, each kind once."""
        is_about_all = self.project is None and self.tag is None and self.jobid is None
        return self.model_dump() | {
            "kinds": [str(kind) for kind in JobIssueKind if kind in self.kinds],
            "service": is_about_all if self.service is None else self.service,
        }


class Rule(Output):
    """A rule."""

    ruleid: int
    channelid: int
    channel: str = Field(description="The channel's name.")
    project: str | None
    tag: str | None
    jobid: int | None
    kinds: list[JobIssueKind]
    after: int
    outof: int | None
    service: bool = Field(description="Whether it is told of issues of the service itself.")
    reminds: bool
    recovers: bool
    createdat: datetime
    words: str = Field(description="The rule in words.")

    @property
    def is_about_all_jobs(self) -> bool:
        """Whether it leaves out no job."""
        return bool(self.kinds) and self.project is None and self.tag is None and self.jobid is None


class CoveredJob(Output):
    """A job that a rule is about."""

    jobid: int
    jobname: str


class RulePreview(Output):
    """What a rule is about, and what it would have sent."""

    words: str = Field(description="The rule in words.")
    jobs: int = Field(description="How many jobs it covers, counted up to 1,000.")
    examples: list[CoveredJob] = Field(description="The first of them.")
    alerts: int = Field(
        description="About how many alerts it would have sent in the last 7 days: of issues, reminders, and "
        "that they were over."
    )
    issues: list[JobIssue] = Field(description="The newest of these issues.")
