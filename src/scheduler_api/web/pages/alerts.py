"""Pages of what is wrong, and of who is told."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from scheduler_api.contracts.alerts.alerts import Alert, AlertState
from scheduler_api.contracts.alerts.channels import (
    ALLOWED,
    NEEDED,
    Channel,
    ChannelKind,
    NewChannel,
    Rule,
    RulePreview,
)
from scheduler_api.contracts.alerts.issues import IssueState, JobIssue, JobIssueKind
from scheduler_api.contracts.alerts.mutes import Mute
from scheduler_api.errors import FieldError
from scheduler_api.web import filters, form
from scheduler_api.web.pages.rendering import Renderer


class ChannelsView(NamedTuple):
    """What the page of channels shows."""

    channels: Sequence[Channel]
    rules: Sequence[Rule]
    mutes: Sequence[Mute]
    can_mail: bool
    """Whether e-mail can be sent."""
    tested: int | None = None
    """The channel that was just sent a test."""
    preview: RulePreview | None = None
    """What the rule that was typed would do."""


class AlertPages(Renderer):
    """Pages of what is wrong, and of who is told."""

    def issues(
        self, now: datetime, found: Sequence[JobIssue], further: str | None, query: Mapping[str, str]
    ) -> str:
        """Issues of jobs, with filters."""
        narrowed = filters.given(query, filters.OF_ISSUES)
        return self._render(
            "issues.html",
            now=now,
            found=found,
            further=further,
            first="cursor" not in query,
            over=narrowed.get("state") == IssueState.ENDED,
            filters=narrowed,
            kept=filters.given(query, (*filters.KEPT_OF_ISSUES, "jobid", "project")),
            states=[IssueState.ENDED],
            kinds=list(JobIssueKind),
        )

    def issue(self, now: datetime, found: JobIssue, told: Sequence[Alert]) -> str:
        """An issue, and who was told of it."""
        return self._render("issue.html", now=now, issue=found, told=told)

    def alerts(
        self, now: datetime, found: Sequence[Alert], further: str | None, query: Mapping[str, str]
    ) -> str:
        """What channels were told, with filters."""
        return self._render(
            "alerts.html",
            now=now,
            found=found,
            further=further,
            first="cursor" not in query,
            filters=filters.given(query, filters.OF_ALERTS),
            kept=filters.given(query, (*filters.KEPT_OF_ISSUES, "channelid", "jobid")),
            states=list(AlertState),
        )

    def channels(
        self,
        now: datetime,
        shown: ChannelsView,
        fields: Mapping[str, str],
        field_errors: Sequence[FieldError],
    ) -> str:
        """Channels, rules and mutes, and the forms for new ones with what was typed and what is wrong."""
        return self._render(
            "channels.html",
            now=now,
            found=shown.channels,
            rules=shown.rules,
            mutes=shown.mutes,
            uncovered=not any(rule.is_about_all_jobs for rule in shown.rules),
            can_mail=shown.can_mail,
            tested=shown.tested,
            preview=shown.preview,
            fields=fields,
            messages=form.messages(field_errors, None),
            kinds=list(JobIssueKind),
            channel_kinds=list(ChannelKind),
        )

    def channel(self, channel: Channel, fields: Mapping[str, str], field_errors: Sequence[FieldError]) -> str:
        """A channel, and the form that changes it with what was typed and what is wrong."""
        return self._render(
            "channel.html",
            channel=channel,
            parts=NEEDED[channel.kind] + ALLOWED.get(channel.kind, ()),
            fields=fields,
            messages=form.messages(field_errors, None),
        )

    def rule(self, now: datetime, found: RulePreview) -> str:
        """What a rule is about, and what it would have sent."""
        return self._render("rule.html", now=now, found=found)

    def new_channel(self, channel: NewChannel) -> str:
        """A new webhook's secret, shown this once."""
        return self._render("new_channel.html", channel=channel)
