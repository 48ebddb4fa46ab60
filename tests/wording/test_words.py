"""Instants, lengths of time, targets and what came of runs in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduler_api import wording as words
from scheduler_api.contracts.jobs.changes import Change
from scheduler_api.contracts.jobs.job import Job, JobState
from scheduler_api.contracts.jobs.targets import Target
from scheduler_api.contracts.runs.attempts import Attempt
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.wording.schedules import cadence

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (90, "1 minute 30 seconds"),
        (3600, "1 hour"),
        (90_061, "1 day 1 hour"),
        (8_640_000_000, "100,000 days"),
    ],
)
def test_durations(seconds: int, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "now"),
        (0.4, "now"),
        (-0.4, "now"),
        (1, "in 1 second"),
        (-59, "59 seconds ago"),
        (3700, "in 1 hour"),
        (-200_000, "2 days ago"),
    ],
)
def test_relative_times(seconds: float, said: str) -> None:
    assert words.relative(NOW + timedelta(seconds=seconds), NOW) == said


def test_local_times_name_their_zone() -> None:
    assert words.local(NOW, "America/New_York") == "2030-01-31 07:00:00 America/New_York"


def test_a_zone_that_is_no_more_is_shown_as_utc() -> None:
    assert words.local(NOW, "Mars/Olympus") == "2030-01-31 12:00:00 UTC"


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        (None, "once"),
        (1, "every second"),
        (60, "every minute"),
        (90, "every 1 minute 30 seconds"),
        (7200, "every 2 hours"),
        (86_400, "every day"),
        (90_061, "every 1 day 1 hour 1 minute 1 second"),
    ],
)
def test_schedules(interval: int | None, said: str) -> None:
    assert cadence(interval, None, "UTC") == said


def a_target(**values: Any) -> Target:
    return Target.model_validate({"url": "https://example.com/hook"} | values)


def a_job(**values: Any) -> Job:
    defaults: dict[str, Any] = dict.fromkeys(Job.model_fields) | {"overlap": False, "state": JobState.ACTIVE}
    return Job.model_construct(**(defaults | values))


def a_log(**values: Any) -> Log:
    defaults: dict[str, Any] = dict.fromkeys(Log.model_fields) | {
        "logid": 1,
        "jobid": 1,
        "scheduledfor": NOW,
        "status": "pending",
        "cause": "schedule",
        "attempt": 1,
        "host": "example.com",
        "missed": 0,
        "runs": 0,
    }
    kind = "http" if (defaults | values)["host"] else "plain"
    return Log.model_validate(defaults | {"kind": kind} | values)


def made(*seconds: float) -> list[Attempt]:
    """Attempts that were started so many seconds after NOW."""
    none: dict[str, Any] = dict.fromkeys(Attempt.model_fields)
    return [
        Attempt.model_validate(
            none
            | {
                "attempt": number,
                "startedat": NOW + timedelta(seconds=second),
                "outcome": "failed",
                "replica": "r",
            }
        )
        for number, second in enumerate(seconds, 1)
    ]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (a_log(host=None), ""),
        (a_log(status="finished"), "called example.com"),
        (a_log(status="skipped", reason="cancelled", finishedat=NOW), "cancelled"),
        (
            a_log(attempt=2, nextrun=NOW),
            "attempt 2 at 2030-01-31 13:00:00 Europe/Berlin; calls example.com",
        ),
        (a_log(attempt=2, status="running"), "attempt 2; calls example.com"),
        (
            a_log(status="failed", error="It broke.", cause="manual"),
            "It broke; manual; called example.com",
        ),
        (a_log(status="failed", error="It broke.", host=None), "It broke."),
        (a_log(status="failed", error="That was attempt 4.", attempt=4, host=None), "That was attempt 4."),
    ],
)
def test_notes_on_calls(log: Log, said: str) -> None:
    assert words.note(log, "Europe/Berlin") == said


def test_remarks_leave_out_what_columns_tell() -> None:
    assert words.remark(a_log(status="finished")) == ""
    assert words.remark(a_log(attempt=2, status="running")) == ""
    waiting = a_log(attempt=2, nextrun=NOW, cause="manual")
    assert words.remark(waiting) == "next attempt at 2030-01-31 12:00:00 UTC"
    assert words.remark(a_log(status="failed", error="It broke.", cause="manual")) == "It broke."


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"startedat": None}, None),
        ({"host": None, "finishedat": NOW}, None),
        ({"status": "pending", "attempt": 2}, None),
        ({"status": "running"}, "1.50 s so far"),
        ({"status": "finished", "finishedat": NOW - timedelta(milliseconds=1355)}, "145 ms"),
        ({"status": "finished", "finishedat": NOW + timedelta(seconds=88.9)}, "1 minute 30 seconds"),
        # The clock of another replica was behind.
        ({"status": "finished", "finishedat": NOW - timedelta(seconds=9)}, "0.0 ms"),
    ],
)
def test_how_long_a_run_took(values: dict[str, Any], said: str | None) -> None:
    log = a_log(**{"startedat": NOW - timedelta(seconds=1.5)} | values)
    assert words.taken(log, NOW) == said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"retries": 0}, "No retries."),
        (
            {"retries": 1, "retryon": ["503"]},
            "Up to 1 retry on 503 or no response. Backoff up to 5 seconds, for at most 1 day.",
        ),
        (
            {},
            "Up to 3 retries on 408, 425, 429, 5xx or no response. "
            "Backoff up to 5 seconds, doubling to 20 seconds, for at most 1 day.",
        ),
        (
            {"retries": 50, "maxbackoff": 3},
            "Up to 50 retries on 408, 425, 429, 5xx or no response. "
            "Backoff up to 3 seconds, for at most 1 day.",
        ),
    ],
)
def test_retry_plans(values: dict[str, Any], said: str) -> None:
    assert words.retry_plan(a_target(**values)) == said


def test_an_attempt_is_counted_from_the_last_time_it_was_asked_for() -> None:
    target = a_target()
    fresh = a_log(attempt=3, startedat=NOW, nextrun=NOW)
    assert words.attempt(fresh, made(0, 5), target) == "3 of at most 4"
    assert words.attempt(a_log(attempt=5, nextrun=NOW), made(0, 5, 9, 12), target) == "5 of at most 8"
    again = a_log(attempt=6, startedat=NOW + timedelta(seconds=60), nextrun=NOW)
    assert words.attempt(again, made(0, 5, 9, 12, 60), target) == "6 of at most 8"
    assert words.attempt(fresh, made(0, 5), a_target(retries=1)) == "3"
    assert words.attempt(fresh, made(0, 5), None) == "3"


def test_what_follows_a_failure() -> None:
    target = a_target()
    assert words.outlook(a_log(), [], target, "UTC") == ("Retried after up to 5 seconds.")
    third = a_log(attempt=3, startedat=NOW, nextrun=NOW)
    assert words.outlook(third, made(0, 5), target, "UTC") == (
        "Retried after up to 20 seconds, unless it ends after 2030-02-01 12:00:00 UTC."
    )
    last = a_log(attempt=4, startedat=NOW, nextrun=NOW)
    said = words.outlook(last, made(0, 5, 9), target, "UTC")
    assert said == "Last attempt."
    assert words.outlook(a_log(status="failed"), [], target, "UTC") is None
    assert words.outlook(third, [], None, "UTC") is None


@pytest.mark.parametrize(
    ("log", "begins"),
    [
        (a_log(status="running"), "The run is marked failed. The target may"),
        (a_log(attempt=2), "The run is marked failed. It is not retried."),
        (a_log(cause="manual"), "The run is skipped"),
        (a_log(cause="backfill"), "The run is skipped"),
        (a_log(), None),
        (a_log(status="failed"), None),
        (a_log(status="finished", cause="manual"), None),
    ],
)
def test_what_cancelling_does(log: Log, begins: str | None) -> None:
    said = words.cancelling(log)
    assert said is None if begins is None else str(said).startswith(begins)


def test_what_can_be_tried_again() -> None:
    failed, job = a_log(status="failed"), a_job(target=a_target())
    assert words.retriable(failed, job)
    assert not words.retriable(a_log(status="finished"), job)
    assert not words.retriable(a_log(status="failed", host=None), job)
    assert not words.retriable(failed, a_job())
    assert not words.retriable(failed, a_job(target=a_target(), state=JobState.DELETED))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "Status 2xx."),
        ({"success": ["200", "404"], "pattern": "ok"}, "Status 200 or 404, and the response contains “ok”."),
        ({"pattern": "a*b"}, "Status 2xx, and the response contains “a*b” (* matches anything)."),
    ],
)
def test_success(values: dict[str, Any], said: str) -> None:
    assert words.success(a_target(**values)) == said


@pytest.mark.parametrize(
    ("overlap", "concurrency", "said"),
    [
        (False, None, "One at a time; the next run waits."),
        (True, None, "Unlimited."),
        (True, 1, "One at a time; later runs queue."),
        (True, 3, "Up to 3 at once."),
    ],
)
def test_overlap(overlap: bool, concurrency: int | None, said: str) -> None:
    assert words.overlap(a_job(overlap=overlap, concurrency=concurrency)) == said


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (None, "Off (410 Gone always pauses)"),
        (1, "After 1 failed run"),
        (10, "After 10 consecutive failures"),
    ],
)
def test_autopause(limit: int | None, said: str) -> None:
    assert words.autopause(a_job(autopause=limit)) == said


@pytest.mark.parametrize(
    ("url", "is_web"),
    [
        ("https://example.com/a?b=c", True),
        ("HTTP://EXAMPLE.COM", True),
        ("https://example.com/{{logid}}", False),
        ("javascript:alert(1)//http://example.com", False),
        ("data:text/html,x", False),
        ("https://", False),
    ],
)
def test_only_addresses_in_the_web_are_links(url: str, is_web: bool) -> None:
    assert words.is_web(url) is is_web


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.04, "0.0 ms"), (3.21, "3.2 ms"), (145.4, "145 ms"), (999.7, "1.00 s"), (61_230.0, "61.23 s")],
)
def test_milliseconds(value: float, said: str) -> None:
    assert words.milliseconds(value) == said


def test_bodies() -> None:
    assert words.body("plain") == "plain"
    assert words.body({"a": ["ö"]}) == '{\n  "a": [\n    "ö"\n  ]\n}'


def changed(before: Any, after: Any) -> list[str]:
    change = Change(
        changeid=1, jobid=1, at=NOW, action="edited", actor="local", client=None, before=before, after=after
    )
    return words.differences(change)


def test_changes_of_a_target_mask_the_values_of_headers() -> None:
    was: dict[str, Any] = {"url": "https://a.example", "method": "POST", "headers": {"A": "old", "B": "same"}}
    became = was | {"url": "https://b.example", "headers": {"A": "new", "B": "same", "C": "added"}}
    assert changed({"target": was}, {"target": became}) == [
        "target url: https://a.example → https://b.example",
        "target header A: ••• → •••",
        "target header C: •••",
    ]
    assert changed({"target": became}, {"target": was | {"url": became["url"]}}) == [
        "target header A: ••• → •••",
        "target header C: ••• → none",
    ]
    assert changed({"target": None}, {"target": was}) == ["target: none → POST https://a.example"]
    assert changed({"target": was}, {"target": None}) == ["target: POST https://a.example → none"]


def test_long_values_of_changes_are_cut() -> None:
    (said,) = changed({"target": {"body": None}}, {"target": {"body": {"a": "x" * 5000}}})
    assert said.startswith('target body: none → {"a": "xxx')
    assert len(said) < 300


def test_other_changes() -> None:
    before: dict[str, Any] = {"cron": "0 9 * * *", "tags": [], "interval": None}
    after = {"cron": None, "tags": ["a", "b"], "interval": 60, "validfrom": "2030"}
    assert changed(before, after) == ["cron: 0 9 * * * → none", "tags: none → a, b", "interval: none → 60"]
