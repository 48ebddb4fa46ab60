"""Messages as each service takes them, and what they say."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from scheduler_api.contracts.alerts.channels import DEFAULT_URLS, ChannelKind, ChannelSecrets
from scheduler_api.database.alerts.channels import RuleRow
from scheduler_api.database.alerts.outbox import WaitingAlert
from scheduler_api.wording import alert_mail
from scheduler_api.wording.alert_formats import request_of
from scheduler_api.wording.alerts import message_of, rule_in_words

BASE = "https://scheduler.example"
AT = datetime(2030, 1, 31, 1, 0, 4, tzinfo=UTC)
ID = UUID(int=7)
NASTY = "<!channel> @everyone & *bold* <script>alert(1)</script> " + "x" * 5000


def alert(number: int = 1, event: str = "opened", **facts: Any) -> WaitingAlert:
    known: dict[str, Any] = {
        "jobname": "Nightly export", "project": "default", "tags": ["nightly"], "timezone": "Europe/Berlin",
        "host": "crm.example.com", "owner": "", "runbook": "", "kind": "failed", "since": AT.isoformat(),
        "times": 1, "firstfor": AT.isoformat(), "lastfor": AT.isoformat(), "logid": 42,
        "error": "Connection refused.", "ending": None, "endedat": None,
    }  # fmt: skip
    if event == "ended":
        known |= {"ending": "recovered", "endedat": (AT + timedelta(hours=2)).isoformat()}
    if event == "test":
        return WaitingAlert(number, ID, None, None, None, event, 0, AT, {}, 1)
    return WaitingAlert(number, ID, number, None, number, event, 0, AT, known | facts, 1)


def service_alert(event: str = "opened", **facts: Any) -> WaitingAlert:
    known: dict[str, Any] = {
        "kind": "disk", "what": "The disk will be full in about 3 days", "why": "History grows.",
        "action": "Make room.", "since": AT.isoformat(), "seenat": (AT + timedelta(hours=1)).isoformat(),
    }  # fmt: skip
    return WaitingAlert(1, ID, None, 7, None, event, 0, AT, known | facts, 1)


def sent(kind: str, *alerts: WaitingAlert, **secrets: Any) -> Any:
    """The request by which a channel is told, and its body."""
    known = ChannelSecrets.model_validate(
        {"url": DEFAULT_URLS.get(ChannelKind(kind), "https://a.example/x")} | secrets
    )
    request = request_of(ChannelKind(kind), message_of(alerts, BASE), known)
    return request, json.loads(request.body)


@pytest.mark.parametrize(
    ("event", "facts", "title"),
    [
        ("opened", {}, "“Nightly export” failed"),
        ("opened", {"times": 3}, "“Nightly export” failed 3 times in a row"),
        ("reminder", {"times": 1200}, "“Nightly export” is still failing (1,200 in a row)"),
        ("ended", {}, "“Nightly export” recovered"),
        ("ended", {"ending": "paused"}, "Closed: “Nightly export” was paused"),
        ("ended", {"ending": "deleted"}, "Closed: “Nightly export” was deleted"),
        ("opened", {"kind": "missed"}, "“Nightly export” missed 1 run"),
        ("opened", {"kind": "missed", "times": 12}, "“Nightly export” missed 12 runs"),
        ("opened", {"kind": "late"}, "“Nightly export” is late"),
        ("opened", {"kind": "stuck"}, "A run of “Nightly export” is stuck"),
        ("reminder", {"kind": "silent"}, "“Nightly export” is still silent"),
        ("opened", {"kind": "paused"}, "“Nightly export” was paused automatically"),
        ("opened", {"flapping": True}, "“Nightly export” is flapping"),
        ("ended", {"flapping": True}, "“Nightly export” is stable"),
        ("test", {}, "Test alert"),
    ],
)
def test_a_title_says_what_is_wrong(event: str, facts: dict[str, Any], title: str) -> None:
    assert message_of([alert(event=event, **facts)], BASE).title == title


@pytest.mark.parametrize(
    ("alerts", "title"),
    [
        ([alert(1), alert(2)], "2 jobs are failing on crm.example.com: Connection refused."),
        (
            [alert(1), alert(2), alert(3, host="b.example", error="No.")],
            "3 jobs are failing, 2 of them on crm.example.com: Connection refused.",
        ),
        ([alert(1, host=None), alert(2, host=None)], "2 jobs are failing: Connection refused."),
        ([alert(1, event="ended"), alert(2, event="ended")], "2 jobs recovered"),
        ([alert(1), alert(2, event="ended")], "1 job is failing (and 1 more)"),
        ([alert(1, kind="missed"), alert(2, kind="missed")], "2 jobs are missing runs"),
        ([alert(1, event="test"), alert(2, event="test")], "Test alerts"),
        ([service_alert()], "The disk will be full in about 3 days"),
        ([service_alert("reminder")], "Still open: The disk will be full in about 3 days"),
        ([service_alert("ended")], "Resolved: The disk will be full in about 3 days"),
        (
            [service_alert("ended"), service_alert(), alert(3, event="ended")],
            "The disk will be full in about 3 days (and 2 more)",
        ),
        (
            [service_alert(), alert(2)],
            "1 job is failing (and 1 more)",
        ),
    ],
)
def test_a_title_of_many_says_what_they_have_in_common(alerts: list[WaitingAlert], title: str) -> None:
    assert message_of(alerts, BASE).title == title


def test_a_message_tells_times_in_the_zone_of_the_job_and_in_utc() -> None:
    missed = alert(kind="missed", times=3, lastfor=(AT + timedelta(days=2)).isoformat())
    (entry,) = message_of([missed], BASE).entries
    first = "2030-01-31 02:00:04 Europe/Berlin (2030-01-31 01:00:04 UTC)"
    assert entry.lines[1].startswith(f"Missed: from {first} to 2030-02-02 02:00:04 Europe/Berlin (")
    assert entry.lines[2] == "Since 2030-01-31 02:00:04 Europe/Berlin (2030-01-31 01:00:04 UTC)"
    (over,) = message_of([alert(event="ended", times=3)], BASE).entries
    assert over.lines[0] == "Was: failed, 3 times, for 2 hours."
    assert over.issueurl is None


def test_an_alert_of_the_service_says_what_to_do_and_when_it_was_seen_last() -> None:
    (entry,) = message_of([service_alert()], BASE).entries
    assert entry.lines == ["History grows.", "Make room.", "Since 2030-01-31 01:00:04 UTC"]
    assert (entry.url, entry.issueurl) == (f"{BASE}/overview", None)
    (over,) = message_of([service_alert("ended")], BASE).entries
    assert over.lines == ["Since 2030-01-31 01:00:04 UTC", "Last seen: 2030-01-31 02:00:04 UTC"]


def test_the_end_of_an_issue_of_the_service_ends_what_tracks_it() -> None:
    _, opened = sent("pagerduty", service_alert(), token="key")
    _, ended = sent("pagerduty", service_alert("ended"), token="key")
    assert opened["dedup_key"] == ended["dedup_key"]
    assert opened["dedup_key"].endswith("-service-7")
    assert (opened["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert opened["payload"]["class"] == "disk"


def test_a_webhook_sends_a_body_of_its_own() -> None:
    body = {"say": "{{title}}", "n": "{{ alerts }}", "more": ["{{event}}: {{text}}", 1], "at": "{{url}}"}
    request, document = sent("webhook", alert(error='It said "no".'), body=body)
    assert request.headers["Content-Type"] == "application/json"
    assert (document["say"], document["n"], document["at"]) == (
        "“Nightly export” failed",
        1,
        f"{BASE}/logs/42",
    )
    assert document["more"][0].startswith('opened: It said "no".\n')
    _, many = sent("webhook", alert(1), alert(2), body=body)
    assert (many["n"], many["at"]) == (2, f"{BASE}/issues")


def test_slack_gets_text_in_which_nothing_calls_people() -> None:
    request, body = sent("slack", alert(error=NASTY, jobname="<!here>"))
    assert request.url == "https://a.example/x"
    assert body["text"] == "“&lt;!here&gt;” failed"
    assert [block["type"] for block in body["blocks"]] == ["section", "section"]
    for block in body["blocks"]:
        assert "<!" not in block["text"]["text"]
        assert 1 <= len(block["text"]["text"]) <= 3000


def test_discord_gets_an_embed_that_mentions_nobody() -> None:
    _, body = sent("discord", alert(error=NASTY))
    (embed,) = body["embeds"]
    assert body["allowed_mentions"] == {"parse": []}
    assert len(embed["title"]) <= 256
    assert len(embed["description"]) <= 4096
    assert embed["url"] == f"{BASE}/logs/42"


def test_teams_gets_an_adaptive_card() -> None:
    _, body = sent("teams", alert())
    (attachment,) = body["attachments"]
    assert (body["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert [block["type"] for block in card["body"]] == ["TextBlock", "TextBlock"]
    assert [(action["type"], action["url"]) for action in card["actions"]] == [
        ("Action.OpenUrl", f"{BASE}/logs/42"),
        ("Action.OpenUrl", f"{BASE}/issues/1"),
    ]
    many = sent("teams", alert(1), alert(2))[1]["attachments"][0]["content"]
    assert [action["url"] for action in many["actions"]] == [f"{BASE}/issues"]


def test_telegram_gets_html_that_is_escaped_and_short() -> None:
    request, body = sent("telegram", alert(error=NASTY), token="1:secret", chat="-100")
    assert request.url == "https://api.telegram.org/bot1:secret/sendMessage"
    assert (body["chat_id"], body["parse_mode"]) == ("-100", "HTML")
    assert "<script>" not in body["text"]
    assert len(body["text"].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")) <= 4096


@pytest.mark.parametrize(
    ("url", "server", "topic"),
    [
        ("https://ntfy.sh/ops", "https://ntfy.sh/", "ops"),
        ("https://a.example/ntfy/ops/", "https://a.example/ntfy", "ops"),
    ],
)
def test_ntfy_gets_json_at_the_address_of_its_server(url: str, server: str, topic: str) -> None:
    request, body = sent("ntfy", alert(error="漢字" * 3000), url=url, token="tk_x")
    assert (request.url, body["topic"]) == (server, topic)
    assert request.headers["Authorization"] == "Bearer tk_x"
    assert len(body["message"].encode()) <= 4096
    assert 1 <= body["priority"] <= 5


def test_pagerduty_gets_events_of_one_incident() -> None:
    request, trigger = sent("pagerduty", alert(error=NASTY), token="R0")
    _, resolve = sent("pagerduty", alert(event="ended"), token="R0")
    assert request.url == "https://events.pagerduty.com/v2/enqueue"
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"]
    assert len(trigger["dedup_key"]) <= 255
    payload = trigger["payload"]
    assert payload["severity"] in {"critical", "error", "warning", "info"}
    assert payload["source"] == "crm.example.com"
    assert len(payload["summary"]) <= 1024
    assert all(set(link) == {"href", "text"} for link in trigger["links"])
    assert "payload" not in resolve


def test_opsgenie_gets_an_alert_that_is_closed_by_its_alias() -> None:
    request, body = sent("opsgenie", alert(jobname="x" * 100, error=NASTY), token="key")
    assert request.headers["Authorization"] == "GenieKey key"
    assert len(body["message"]) <= 130
    assert len(body["description"]) <= 15_000
    closing, _ = sent("opsgenie", alert(event="ended"), token="key")
    assert closing.url == (f"https://api.opsgenie.com/v2/alerts/{body['alias']}/close?identifierType=alias")


def test_apprise_gets_a_title_a_body_and_a_type() -> None:
    _, bad = sent("apprise", alert())
    _, good = sent("apprise", alert(event="ended"))
    assert (bad["type"], good["type"], bad["format"]) == ("failure", "success", "text")
    assert bad["title"] == "“Nightly export” failed"


def test_what_is_wrong_comes_before_what_is_over() -> None:
    over = [alert(number, "ended", jobname=f"Job {number}") for number in range(1, 12)]
    message = message_of([*over, alert(12, jobname="Broken")], BASE)
    assert message.entries[0].title == "“Broken” failed"
    assert not message.is_good
    assert len(sent("webhook", *over, alert(12))[1]["alerts"]) == 12


def test_mail_of_many_names_each() -> None:
    message = message_of([alert(number, jobname=f"Job {number}") for number in range(1, 15)], BASE)
    text, page = alert_mail.as_text(message), alert_mail.as_html(message)
    for number in range(1, 11):
        assert f"“Job {number}” failed" in text
        assert f"“Job {number}” failed" in page
    assert "And 4 more" in text
    assert "And 4 more" in page


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "Tell #ops of failures of all jobs."),
        ({"after": 3}, "Tell #ops of 3 failures in a row of all jobs."),
        ({"after": 3, "outof": 10}, "Tell #ops of 3 failures in the last 10 runs of all jobs."),
        ({"after": 1, "outof": 2}, "Tell #ops of 1 failure in the last 2 runs of all jobs."),
        (
            {"kinds": ["failed", "late"], "after": 3},
            "Tell #ops of 3 failures in a row and late runs of all jobs.",
        ),
        ({"jobid": 7}, "Tell #ops of failures of job 7."),
        (
            {"tag": "nightly", "project": "crm"},
            "Tell #ops of failures of jobs tagged nightly in project crm.",
        ),
        ({"reminds": True}, "Tell #ops of failures of all jobs, again after 6 hours and then daily."),
        ({"recovers": True}, "Tell #ops of failures of all jobs, and when it is over."),
        (
            {"kinds": ["failed", "missed", "late", "stuck", "silent", "paused"]},
            "Tell #ops of every issue of all jobs.",
        ),
        ({"service": True}, "Tell #ops of failures of all jobs and of the service itself."),
        (
            {"service": True, "kinds": [], "recovers": True},
            "Tell #ops of issues of the service itself, and when it is over.",
        ),
    ],
)
def test_a_rule_is_one_sentence(values: dict[str, Any], words: str) -> None:
    known: dict[str, Any] = {
        "ruleid": 1, "channelid": 1, "channel": "#ops", "project": None, "tag": None, "jobid": None,
        "kinds": ["failed"], "after": 1, "outof": None, "service": False, "reminds": False,
        "recovers": False, "createdat": AT,
    }  # fmt: skip
    assert rule_in_words(RuleRow(**(known | values))) == words
