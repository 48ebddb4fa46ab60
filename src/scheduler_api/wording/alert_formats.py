"""Messages as services take them: each function gives the request by which a service is told.

Each is written by the service's own documentation, which it names.
"""

import html
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from scheduler_api.contracts.alerts.alerts import AlertEvent
from scheduler_api.contracts.alerts.channels import DEFAULT_URLS, ChannelKind, ChannelSecrets
from scheduler_api.targets import templates
from scheduler_api.wording.alerts import Entry, Message, entry_text

JSON = {"Content-Type": "application/json"}
#: Services that keep track of issues themselves: of each alert they want an event of its own.
ONE_BY_ONE = {ChannelKind.PAGERDUTY, ChannelKind.OPSGENIE}
_RED, _GREEN = 0xC0392B, 0x27864A
_DISCORD_TEXT, _TELEGRAM_TEXT, _NTFY_TEXT, _SLACK_SECTION = 4000, 3500, 3500, 2900
_CARD = "application/vnd.microsoft.card.adaptive"
_PAGERDUTY_SUMMARY, _OPSGENIE_MESSAGE, _OPSGENIE_TEXT = 1024, 130, 15_000


class Request(NamedTuple):
    """What to send, and where."""

    url: str
    headers: dict[str, str]
    body: bytes


def request_of(kind: ChannelKind, message: Message, secrets: ChannelSecrets) -> Request:
    """The request by which a channel is told."""
    return _FORMATS[kind](message, secrets)


def _json(url: str, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Request:
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    return Request(url, {**JSON, **(headers or {})}, body)


def _webhook(message: Message, secrets: ChannelSecrets) -> Request:
    if secrets.body is not None:
        return _json(secrets.url, templates.fill_json(secrets.body, _values(message)))
    document = {
        "messageid": str(message.messageid),
        "title": message.title,
        "text": message.text,
        "alerts": [_plain(entry) for entry in message.every],
        "url": message.url,
    }
    return _json(secrets.url, document)


def _values(message: Message) -> templates.Values:
    """What placeholders stand for."""
    return {
        "title": message.title,
        "text": message.text,
        "url": message.every[0].url if len(message.every) == 1 else message.url,
        "event": message.every[0].event,
        "alerts": len(message.every),
        "messageid": str(message.messageid),
    }


def _plain(entry: Entry) -> dict[str, Any]:
    facts = None if entry.facts is None else entry.facts.model_dump(mode="json")
    return {
        "event": entry.event,
        "issueid": entry.issueid,
        "jobid": entry.jobid,
        "title": entry.title,
        "url": entry.url,
        "issueurl": entry.issueurl,
        "facts": facts,
    }


def _slack(message: Message, secrets: ChannelSecrets) -> Request:
    """https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks."""
    escaped = html.escape(_cut(message.text, _SLACK_SECTION), quote=False)
    title = html.escape(message.title, quote=False)
    sections = [f"*{_one_line(title)}*", escaped]
    blocks = [
        {"type": "section", "text": {"type": "mrkdwn", "text": text[:3000]}} for text in sections if text
    ]
    return _json(secrets.url, {"text": title, "blocks": blocks, "unfurl_links": False})


def _discord(message: Message, secrets: ChannelSecrets) -> Request:
    """https://docs.discord.com/developers/resources/webhook#execute-webhook."""
    embed = {
        "title": _cut(message.title, 256),
        "description": _cut(message.text, _DISCORD_TEXT),
        "url": message.entries[0].url,
        "color": _GREEN if message.is_good else _RED,
    }
    # What a job is called must not call people.
    return _json(secrets.url, {"embeds": [embed], "allowed_mentions": {"parse": []}})


def _teams(message: Message, secrets: ChannelSecrets) -> Request:
    """Workflows: https://learn.microsoft.com/en-us/connectors/teams/ (a card that a webhook posts)."""
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {
                "type": "TextBlock",
                "text": message.title,
                "weight": "Bolder",
                "wrap": True,
                "color": "Good" if message.is_good else "Attention",
            },
            {"type": "TextBlock", "text": message.text.replace("\n", "\n\n"), "wrap": True},
        ],
        "actions": [
            {"type": "Action.OpenUrl", "title": title, "url": url} for title, url in _links(message).items()
        ],
    }
    attachment = {"contentType": _CARD, "contentUrl": None, "content": card}
    return _json(secrets.url, {"type": "message", "attachments": [attachment]})


def _links(message: Message) -> dict[str, str]:
    if len(message.entries) > 1:
        return {"View issues": message.url}
    entry = message.entries[0]
    return {"View": entry.url} | ({} if entry.issueurl is None else {"Acknowledge": entry.issueurl})


def _telegram(message: Message, secrets: ChannelSecrets) -> Request:
    """https://core.telegram.org/bots/api#sendmessage."""
    text = f"<b>{html.escape(message.title)}</b>\n{html.escape(_cut(message.text, _TELEGRAM_TEXT))}"
    document = {
        "chat_id": secrets.chat,
        "text": text,
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }
    return _json(f"{secrets.url.rstrip('/')}/bot{secrets.token}/sendMessage", document)


def _ntfy(message: Message, secrets: ChannelSecrets) -> Request:
    """https://docs.ntfy.sh/publish/#publish-as-json."""
    parts = urlsplit(secrets.url)
    path, _, topic = parts.path.rstrip("/").rpartition("/")
    document = {
        "topic": topic,
        "title": message.title,
        "message": _cut_bytes(message.text, _NTFY_TEXT),
        "priority": 3 if message.is_good else 4,
        "tags": ["white_check_mark" if message.is_good else "rotating_light"],
        "click": message.entries[0].url,
    }
    server = urlunsplit((parts.scheme, parts.netloc, path or "/", "", ""))
    headers = {} if secrets.token is None else {"Authorization": f"Bearer {secrets.token}"}
    return _json(server, document, headers)


def _pagerduty(message: Message, secrets: ChannelSecrets) -> Request:
    """https://developer.pagerduty.com/docs/send-alert-event (Events API v2)."""
    entry = message.entries[0]
    is_over = entry.event is AlertEvent.ENDED
    event: dict[str, Any] = {
        "routing_key": secrets.token,
        "event_action": "resolve" if is_over else "trigger",
        "dedup_key": _key(entry, message),
    }
    if not is_over:
        facts = entry.facts
        event["payload"] = {
            "summary": _cut(entry.title, _PAGERDUTY_SUMMARY),
            "source": (facts and facts.host) or urlsplit(entry.url).netloc,
            "severity": "info" if entry.event is AlertEvent.TEST else "error",
            "component": None if facts is None else facts.jobname,
            "group": None if facts is None else facts.project,
            "class": entry.kind,
            "custom_details": {"text": entry_text(entry, titled=False)},
        }
        event["links"] = [{"href": url, "text": title} for title, url in _links(message).items()]
    return _json(secrets.url, event)


def _opsgenie(message: Message, secrets: ChannelSecrets) -> Request:
    """https://docs.opsgenie.com/docs/alert-api (create, and close by alias)."""
    entry = message.entries[0]
    alias = _key(entry, message)
    headers = {"Authorization": f"GenieKey {secrets.token}"}
    if entry.event is AlertEvent.ENDED:
        url = f"{secrets.url.rstrip('/')}/{quote(alias, safe='')}/close?identifierType=alias"
        return _json(url, {"source": "scheduler-api", "note": _cut(entry.title, _OPSGENIE_TEXT)}, headers)
    document = {
        "message": _cut(entry.title, _OPSGENIE_MESSAGE),
        "alias": alias,
        "description": _cut(entry_text(entry), _OPSGENIE_TEXT),
        "source": "scheduler-api",
        "priority": "P5" if entry.event is AlertEvent.TEST else "P3",
    }
    return _json(secrets.url, document, headers)


def _key(entry: Entry, message: Message) -> str:
    """By what a service knows that events are about one issue."""
    issue = entry.issue or message.messageid
    return f"scheduler-{urlsplit(message.url).netloc}-{issue}"


def _apprise(message: Message, secrets: ChannelSecrets) -> Request:
    """https://github.com/caronc/apprise-api (stateful: POST /notify/{key})."""
    document = {
        "title": message.title,
        "body": message.text,
        "type": "success" if message.is_good else "failure",
        "format": "text",
    }
    return _json(secrets.url, document)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _cut_bytes(text: str, limit: int) -> str:
    data = text.encode("utf-8", "replace")
    return text if len(data) <= limit else f"{data[: limit - 3].decode(errors='ignore')}…"


def _one_line(text: str) -> str:
    return " ".join(text.split())


_FORMATS: dict[ChannelKind, Callable[[Message, ChannelSecrets], Request]] = {
    ChannelKind.WEBHOOK: _webhook,
    ChannelKind.SLACK: _slack,
    ChannelKind.DISCORD: _discord,
    ChannelKind.TEAMS: _teams,
    ChannelKind.TELEGRAM: _telegram,
    ChannelKind.NTFY: _ntfy,
    ChannelKind.PAGERDUTY: _pagerduty,
    ChannelKind.OPSGENIE: _opsgenie,
    ChannelKind.APPRISE: _apprise,
}
assert set(_FORMATS) | {ChannelKind.EMAIL} == set(ChannelKind)
assert set(DEFAULT_URLS) <= set(_FORMATS)
