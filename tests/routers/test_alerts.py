"""Issues, alerts, channels and rules over HTTP."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from httpx import AsyncClient

from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.alerts.issues import JobIssueKind
from scheduler_api.database.alerts.noticing import Noticed
from scheduler_api.database.engine import Database
from scheduler_api.database.jobs.project_secrets import FIRST
from scheduler_api.database.statements import Session
from scheduler_api.services.alerts import channels, noticing, sending
from scheduler_api.services.jobs import secrets
from scheduler_api.settings import Settings
from tests.factories import NOON, add_job, execute, rows, scalar

HTML = {"accept": "text/html"}
FORM = HTML | {"content-type": "application/x-www-form-urlencoded"}
SLACK = {"name": "#ops", "kind": "slack", "url": "https://hooks.slack.example/services/very-secret"}


async def notice(database: Database, *kinds: JobIssueKind, jobid: int = 1) -> None:
    async def work(session: Session, now: Any) -> None:
        found = [Noticed(jobid, kind, 1, NOON, NOON, 7, f"It was {kind}.") for kind in kinds]
        await noticing.notice(session, now, found)

    await database.transact(work)


async def test_open_issues_are_listed_and_those_that_are_over_on_demand(
    client: AsyncClient, database: Database
) -> None:
    await add_job(database, interval=60, jobname="Export", timezone="Europe/Berlin")
    await add_job(database, interval=60)
    await notice(database, JobIssueKind.FAILED, JobIssueKind.LATE)
    await notice(database, JobIssueKind.FAILED, jobid=2)
    found = (await client.get("/issues")).json()
    assert [(one["jobid"], one["kind"]) for one in found] == [(2, "failed"), (1, "late"), (1, "failed")]
    assert found[2] | {"since": 0, "seenat": 0} == {
        "issueid": 1, "jobid": 1, "jobname": "Export", "project": "default", "timezone": "Europe/Berlin",
        "kind": "failed", "since": 0, "seenat": 0, "times": 1, "firstfor": "2030-01-31T12:00:00Z",
        "lastfor": "2030-01-31T12:00:00Z", "logid": 7, "error": "It was failed.", "endedat": None,
        "ending": None, "ackedby": None, "ackedat": None, "ackeduntil": None,
    }  # fmt: skip
    await client.delete("/jobs/1")
    assert [one["jobid"] for one in (await client.get("/issues")).json()] == [2]
    over = (await client.get("/issues?state=ended&kind=late")).json()
    assert [(one["kind"], one["ending"]) for one in over] == [("late", "deleted")]
    assert (await client.get("/issues?kind=lost")).status_code == 422
    first = await client.get("/issues?state=ended&limit=1")
    assert 'rel="next"' in first.headers["link"]
    assert (await client.get("/issues?jobid=9")).json() == []
    assert (await client.get("/issues/99")).json()["code"] == "issue_not_found"


async def test_who_acknowledges_an_issue_is_named_and_nobody_is_reminded(
    client: AsyncClient, database: Database
) -> None:
    await add_job(database, interval=60)
    await notice(database, JobIssueKind.FAILED)
    past = await client.post("/issues/1/acknowledge", json={"until": "2020-01-01T00:00:00Z"})
    assert past.status_code == 422
    assert past.json()["errors"][0]["pointer"] == "/until"
    done = await client.post("/issues/1/acknowledge", json={"until": "2099-01-01T00:00:00Z"})
    assert done.status_code == 200, done.text
    assert done.json()["ackeduntil"] == "2099-01-01T00:00:00Z"
    assert done.json()["ackedby"]
    again = await client.post("/issues/1/acknowledge")
    assert again.json()["ackeduntil"] is None
    events = (await client.get("/jobs/1/changes")).json()
    assert [event["action"] for event in events] == ["acknowledged", "acknowledged"]
    await client.delete("/jobs/1")
    over = await client.post("/issues/1/acknowledge")
    assert (over.status_code, over.json()["code"]) == (409, "issue_is_over")


async def test_an_issue_is_closed_by_hand_and_its_channels_are_told(
    client: AsyncClient, database: Database
) -> None:
    await add_job(database, due=None, active=False, jobname="Once")
    await client.post("/channels", json=SLACK)
    await notice(database, JobIssueKind.FAILED, JobIssueKind.MISSED)
    closed = await client.post("/issues/1/close")
    assert (closed.status_code, closed.json()["ending"]) == (200, "closed")
    assert [one["kind"] for one in (await client.get("/issues")).json()] == ["missed"]
    assert (await client.post("/issues/1/close")).json()["code"] == "issue_is_over"
    told = (await client.get("/alerts")).json()
    assert [(one["event"], one["issueid"]) for one in told] == [("ended", 1), ("opened", 2), ("opened", 1)]
    # What is noticed afterwards is another one.
    await notice(database, JobIssueKind.FAILED)
    assert [one["issueid"] for one in (await client.get("/issues")).json()] == [3, 2]
    page = await client.post("/issues/3/close", headers=FORM, data={"a": ""})
    assert (page.status_code, page.headers["location"]) == (303, "/issues/3")
    assert "closed" in (await client.get("/issues/3", headers=HTML)).text
    events = (await client.get("/jobs/1/changes")).json()
    assert [event["action"] for event in events] == ["issueclosed", "issueclosed"]
    assert (await client.post("/issues/99/close")).status_code == 404


async def test_the_first_channel_is_told_of_everything_and_no_answer_says_what_is_secret_of_it(
    client: AsyncClient, database: Database
) -> None:
    made = await client.post("/channels", json=SLACK)
    assert made.status_code == 201, made.text
    assert made.json()["origin"] == "https://hooks.slack.example"
    assert made.json()["secret"] is None
    (rule,) = (await client.get("/rules")).json()
    assert rule["words"] == (
        "Tell #ops of failures, missed runs, stuck runs, silent jobs and automatic pauses of all jobs "
        "and of the service itself, again after 6 hours and then daily, and when it is over."
    )
    another = await client.post("/channels", json=SLACK | {"name": "#dev"})
    assert another.status_code == 201
    assert len((await client.get("/rules")).json()) == 1
    taken = await client.post("/channels", json=SLACK)
    assert taken.json()["errors"] == [{"pointer": "/name", "detail": "There is such a channel already."}]
    answers = [await client.get(path) for path in ("/channels", "/channels/1", "/audit?object=channel")]
    answers += [await client.get("/channels", headers=HTML)]
    for answer in answers:
        assert answer.status_code == 200
        assert "very-secret" not in answer.text
    for table in ("alertchannel", "auditevent"):
        assert "very-secret" not in str(await rows(database, f"SELECT * FROM {table}"))


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"kind": "slack"}, "/url"),
        ({"kind": "slack", "url": "ftp://x"}, "/url"),
        ({"kind": "email"}, "/recipients"),
        ({"kind": "email", "recipients": ["nobody"]}, "/recipients/0"),
        ({"kind": "email", "recipients": ["a@example.com"]}, "/kind"),
        ({"kind": "telegram", "token": "1:x"}, "/chat"),
        ({"kind": "pagerduty"}, "/token"),
        ({"kind": "pagerduty", "token": "a b"}, "/token"),
        ({"kind": "slack", "url": "https://x.example/", "token": "x"}, "/token"),
        ({"kind": "pigeon"}, "/kind"),
        ({"kind": "slack", "url": "https://x.example/", "name": " "}, "/name"),
        ({"kind": "slack", "url": "https://x.example/", "colour": "red"}, "/colour"),
        ({"kind": "slack", "url": "https://x.example/", "body": {"a": 1}}, "/body"),
        ({"kind": "webhook", "url": "https://x.example/", "body": {"a": ["{{ jobid }}"]}}, "/body"),
        ({"kind": "webhook", "url": "https://x.example/", "body": {"a": "x" * 70_000}}, "/body"),
        ({"kind": "webhook", "url": "https://x.example/", "body": ["{{ title }}"]}, "/body"),
    ],
)
async def test_what_is_wrong_with_a_channel_is_said_of_its_field(
    client: AsyncClient, values: dict[str, Any], pointer: str
) -> None:
    answer = await client.post("/channels", json={"name": "A channel"} | values)
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await client.get("/channels")).json() == []


async def test_a_webhook_gets_a_secret_that_stays_when_its_url_changes(
    client: AsyncClient, database: Database
) -> None:
    hook = {"name": "Hook", "kind": "webhook", "url": "https://a.example/x"}
    secret = (await client.post("/channels", json=hook)).json()["secret"]
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    await execute(
        database,
        "UPDATE alertchannel SET failures = 3, failingsince = now(), error = 'No.',"
        " openfrom = now() + interval '1 hour'",
    )
    changed = await client.put("/channels/1", json=hook | {"url": "https://b.example/y", "name": "Other"})
    assert changed.status_code == 200, changed.text
    assert "secret" not in changed.json()
    assert (changed.json()["origin"], changed.json()["failures"]) == ("https://b.example", 0)
    assert await scalar(database, "SELECT openfrom <= now() FROM alertchannel")
    other = await client.put("/channels/1", json=SLACK)
    assert other.json()["errors"][0]["pointer"] == "/kind"
    assert (await client.put("/channels/9", json=hook)).json()["code"] == "channel_not_found"


async def test_the_body_of_a_webhook_is_kept_and_never_shown(
    client: AsyncClient, database: Database, settings: Settings
) -> None:
    fields = {"name": "Hook", "kind": "webhook", "url": "https://a.example/x"}
    wrong = await client.post("/channels", data=fields | {"body": "{oh"}, headers=HTML)
    assert wrong.status_code == 422
    assert "{oh" in wrong.text
    made = await client.post("/channels", data=fields | {"body": '{"key": "very-secret"}'}, headers=HTML)
    assert made.status_code in {201, 303}, made.text

    async def body() -> Any:
        kept = await database.read(channels.secrets_of, 1, Cipher(settings.secret_keys()))
        assert kept is not None
        return kept.body

    assert await body() == {"key": "very-secret"}
    await client.post("/channels/1/edit", data={"name": "Other"}, headers=HTML)
    assert await body() == {"key": "very-secret"}
    for path in ("/channels", "/channels/1", "/audit"):
        for headers in (HTML, {}):
            assert "very-secret" not in (await client.get(path, headers=headers)).text
    # The API writes anew: what is left out is gone.
    await client.put("/channels/1", json=fields)
    assert await body() is None


async def test_a_channel_goes_with_its_rules_and_what_waits_is_given_up(
    client: AsyncClient, database: Database
) -> None:
    await client.post("/channels", json=SLACK)
    await add_job(database, interval=60)
    await notice(database, JobIssueKind.FAILED)
    assert len((await client.get("/alerts")).json()) == 1
    rehearsed = await client.delete("/channels/1?dryrun=true")
    assert rehearsed.status_code == 204
    assert (await client.delete("/channels/1")).status_code == 204
    assert (await client.delete("/channels/1")).status_code == 404
    assert (await client.get("/rules")).json() == []
    (alert,) = (await client.get("/alerts")).json()
    assert (alert["state"], alert["channel"]) == ("dead", "a removed channel")
    assert (await client.post("/alerts/1/retry")).status_code == 409
    assert len((await client.get("/issues")).json()) == 1


async def test_a_rule_names_what_is_there(client: AsyncClient) -> None:
    await client.post("/channels", json=SLACK)
    for values, pointer in (
        ({"channelid": 9}, "/channelid"),
        ({"channelid": 1, "project": "nowhere"}, "/project"),
        ({"channelid": 1, "jobid": 9}, "/jobid"),
        ({"channelid": 1, "kinds": []}, "/kinds"),
        ({"channelid": 1, "kinds": ["broken"]}, "/kinds/0"),
        ({"channelid": 1, "after": 0}, "/after"),
    ):
        answer = await client.post("/rules", json=values)
        assert answer.status_code == 422, answer.text
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    values = {"channelid": 1, "tag": "nightly", "kinds": ["silent", "failed"], "after": 3, "reminds": False}
    made = await client.post("/rules", json=values)
    assert made.status_code == 201, made.text
    assert made.json()["words"] == (
        "Tell #ops of 3 failures in a row and silent jobs of jobs tagged nightly, and when it is over."
    )
    assert (await client.delete("/rules/2")).status_code == 204
    assert (await client.delete("/rules/2")).json()["code"] == "rule_not_found"


async def test_a_rule_is_previewed_before_it_is_added_and_after(
    client: AsyncClient, database: Database
) -> None:
    for jobname, tags in (("Export", ["nightly"]), ("Import", ["nightly"]), ("Heartbeat", [])):
        await add_job(database, interval=60, jobname=jobname, tags=tags)
    await client.post("/channels", json=SLACK)
    await notice(database, JobIssueKind.FAILED, JobIssueKind.LATE)
    await notice(database, JobIssueKind.FAILED, jobid=3)
    draft = {"channelid": 1, "tag": "nightly", "kinds": ["failed", "silent"]}
    seen = (await client.post("/rules/preview", json=draft)).json()
    assert seen["words"].startswith("Tell #ops of failures and silent jobs of jobs tagged nightly")
    assert (seen["jobs"], [job["jobname"] for job in seen["examples"]]) == (2, ["Export", "Import"])
    assert (seen["alerts"], [(one["jobid"], one["kind"]) for one in seen["issues"]]) == (1, [(1, "failed")])
    assert (await client.post("/rules/preview", json=draft | {"after": 2})).json()["alerts"] == 0
    assert (await client.post("/rules/preview", json=draft | {"channelid": 9})).status_code == 422
    assert (await client.post("/rules/preview", json=draft | {"after": 5, "outof": 3})).status_code == 422
    # That it is over is sent, too; what is older than a week is not counted.
    await client.delete("/jobs/1")
    assert (await client.post("/rules/preview", json=draft)).json()["alerts"] == 2
    await execute(database, "UPDATE jobissue SET since = since - interval '8 days'")
    assert (await client.post("/rules/preview", json=draft)).json()["alerts"] == 0
    whole = (await client.get("/rules/1/preview")).json()
    assert (whole["jobs"], whole["alerts"]) == (2, 0)
    assert (await client.get("/rules/9/preview")).status_code == 404
    page = (await client.get("/rules/1/preview", headers=HTML)).text
    assert "Covers 2 jobs" in page
    assert "it would have sent nothing" in page
    fields = {"channelid": "1", "tag": "nightly", "kind-failed": "true", "boxes": "true", "after": "1"}
    typed = (await client.post("/rules/preview", data=fields, headers=HTML)).text
    assert "Covers 1 job:" in typed
    assert 'id="tag" name="tag" value="nightly"' in typed


async def test_the_page_of_a_job_says_who_is_told(client: AsyncClient, database: Database) -> None:
    await add_job(database, interval=60, tags=["nightly"])
    assert "No rule covers this job" in (await client.get("/jobs/1", headers=HTML)).text
    await client.post("/channels", json=SLACK)
    assert "Tell #ops of" in (await client.get("/jobs/1", headers=HTML)).text
    await client.delete("/rules/1")
    assert "No rule covers this job" in (await client.get("/jobs/1", headers=HTML)).text
    await client.post("/rules", json={"channelid": 1, "tag": "daily"})
    assert "No rule covers this job" in (await client.get("/jobs/1", headers=HTML)).text


async def test_a_channel_is_changed_on_its_page_and_what_is_secret_and_left_empty_stays(
    client: AsyncClient, database: Database, settings: Settings
) -> None:
    await client.post("/channels", json=SLACK)
    page = (await client.get("/channels/1", headers=HTML)).text
    assert 'value="#ops"' in page
    assert "very-secret" not in page
    before = await scalar(database, "SELECT origin FROM alertchannel")
    saved = await client.post("/channels/1/edit", data={"name": "#on-call", "url": ""}, headers=FORM)
    assert (saved.status_code, saved.headers["location"]) == (303, "/channels#channel-1")
    channel = (await client.get("/channels/1")).json()
    assert (channel["name"], channel["origin"]) == ("#on-call", before)
    moved = {"name": "#on-call", "url": "https://hooks.slack.example/elsewhere"}
    assert (await client.post("/channels/1/edit", data=moved, headers=FORM)).status_code == 303
    refused = await client.post("/channels/1/edit", data={"name": "x", "url": "no address"}, headers=FORM)
    assert refused.status_code == 422
    assert 'aria-invalid="true"' in refused.text


async def test_alerts_say_what_became_of_them_and_dead_ones_are_sent_again(
    client: AsyncClient, database: Database
) -> None:
    await client.post("/channels", json=SLACK)
    await add_job(database, interval=60, jobname="Export")
    await notice(database, JobIssueKind.FAILED)
    (alert,) = (await client.get("/alerts?state=waiting")).json()
    assert (alert["jobname"], alert["event"], alert["channel"]) == ("Export", "opened", "#ops")
    refused = await client.post("/alerts/1/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_retry")
    await execute(database, "UPDATE alert SET deadat = now(), error = 'Status 404.'")
    (dead,) = (await client.get("/alerts?state=dead&jobid=1&channelid=1")).json()
    assert dead["error"] == "Status 404."
    assert (await client.post("/alerts/1/retry")).status_code == 204
    assert (await client.get("/alerts?state=dead")).json() == []
    assert (await client.post("/alerts/9/retry")).json()["code"] == "alert_not_found"


async def test_pages_show_them_and_their_forms_change_them(client: AsyncClient, database: Database) -> None:
    empty = (await client.get("/channels", headers=HTML)).text
    assert "No channels yet, so no alerts are sent." in empty
    assert "No open issues." in (await client.get("/issues", headers=HTML)).text
    assert "No alerts yet." in (await client.get("/alerts", headers=HTML)).text
    form = {"name": "#ops", "kind": "slack", "url": "", "recipients": "", "token": "", "chat": ""}
    wrong = await client.post("/channels", data=form, headers=HTML)
    assert wrong.status_code == 422
    assert "Is needed for a channel of kind slack." in wrong.text
    assert 'value="#ops"' in wrong.text
    # What was typed for another kind is not sent along.
    right = form | {"url": "https://chat.example/x", "recipients": "ann@example.com"}
    assert (await client.post("/channels", data=right, headers=HTML)).headers["location"] == "/channels"
    hook = {"name": "Hook", "kind": "webhook", "url": "https://a.example/x"}
    assert "whsec_" in (await client.post("/channels", data=hook, headers=HTML)).text
    rule = {"boxes": "true", "channelid": "2", "kind-late": "true", "after": "1", "reminds": "true"}
    assert (await client.post("/rules", data=rule, headers=HTML)).status_code == 303
    none = await client.post("/rules", data={"boxes": "true", "channelid": "2", "after": "1"}, headers=HTML)
    assert none.status_code == 422
    page = (await client.get("/channels", headers=HTML)).text
    assert "Tell Hook of late runs of all jobs, again after 6 hours and then daily." in page
    await add_job(database, interval=60, jobname="Export <b>")
    await notice(database, JobIssueKind.FAILED)
    listed = (await client.get("/issues", headers=HTML)).text
    assert "“Export &lt;b&gt;” failed" in listed
    # As the forms of filters send it.
    assert (await client.get("/issues?state=&kind=late", headers=HTML)).headers[
        "location"
    ] == "/issues?kind=late"
    issue = (await client.get("/issues/1", headers=HTML)).text
    assert "#ops" in issue
    assert 'action="/issues/1/acknowledge"' in issue
    known = await client.post("/issues/1/acknowledge", data={"until": ""}, headers=HTML)
    assert known.headers["location"] == "/issues/1"
    assert "Acknowledged" in (await client.get("/issues/1", headers=HTML)).text
    tested = await client.post("/channels/1/test", headers=FORM)
    assert tested.headers["location"] == "/channels?tested=1"
    assert "Sent a test." in (await client.get("/channels?tested=1", headers=HTML)).text
    assert (await client.post("/rules/2/delete", headers=HTML)).headers["location"] == "/channels"
    assert (await client.post("/channels/2/delete", headers=HTML)).headers["location"] == "/channels"
    assert [one["name"] for one in (await client.get("/channels")).json()] == ["#ops"]


async def test_the_header_of_pages_counts_open_issues(client: AsyncClient, database: Database) -> None:
    await add_job(database, interval=60)
    await notice(database, JobIssueKind.FAILED, JobIssueKind.MISSED)
    async with asyncio.timeout(60):
        # What is known may be a moment old.
        while '2<span class="unseen"> open</span>' not in (await client.get("/jobs", headers=HTML)).text:
            await asyncio.sleep(0.05)


async def test_what_is_secret_of_channels_is_renewed_with_all_other_secrets(
    client: AsyncClient, database: Database, settings: Settings
) -> None:
    await client.post("/channels", json=SLACK)
    new = Fernet.generate_key().decode()
    rotated = await database.transact(secrets.rotate, Cipher([new, *settings.secret_keys()]), FIRST)
    assert (rotated.done, rotated.lost) == (1, 0)
    kept = await scalar(database, "SELECT ciphertext FROM alertchannel")
    assert "very-secret" in Cipher([new]).decrypt(kept)
    assert await database.read(secrets.unreadable, Cipher([Fernet.generate_key().decode()])) == 1


async def test_mutes_are_added_listed_and_removed(client: AsyncClient) -> None:
    for values, pointer in (
        ({}, "/until"),
        ({"until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"until": "2099-01-01T00:00:00Z", "since": "2099-01-02T00:00:00Z"}, "/until"),
        ({"until": "2099-01-01T00:00:00Z", "minutes": 5}, "/minutes"),
        ({"cron": "0 2 * * *"}, "/minutes"),
        ({"cron": "0 2 30 2 *", "minutes": 5}, "/cron"),
        ({"cron": "0 2 * * *", "minutes": 5, "until": "2099-01-01T00:00:00Z"}, "/until"),
        ({"until": "2099-01-01T00:00:00Z", "project": "nowhere"}, "/project"),
        ({"until": "2099-01-01T00:00:00Z", "jobid": 9}, "/jobid"),
    ):
        answer = await client.post("/mutes", json=values)
        assert answer.status_code == 422, (values, answer.text)
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    made = await client.post("/mutes", json={"until": "2099-01-01T00:00:00Z", "reason": "The CRM moves."})
    assert made.status_code == 201, made.text
    assert made.json()["words"] == "Hold alerts of all jobs until 2099-01-01 00:00 UTC. The CRM moves."
    form = {"until": "", "cron": "0 2 * * 0", "minutes": "90", "tag": "crm"}
    assert (await client.post("/mutes", data=form, headers=HTML)).headers["location"] == "/channels"
    wrong = await client.post("/mutes", data=form | {"minutes": "x"}, headers=HTML)
    assert wrong.status_code == 422
    page = (await client.get("/channels", headers=HTML)).text
    assert "Hold alerts of jobs tagged crm for 1 hour 30 minutes at 0 2 * * 0 (UTC)." in page
    assert (await client.post("/mutes/2/delete", headers=HTML)).headers["location"] == "/channels"
    assert [mute["muteid"] for mute in (await client.get("/mutes")).json()] == [1]
    assert (await client.delete("/mutes/1")).status_code == 204
    assert (await client.delete("/mutes/1")).json()["code"] == "mute_not_found"
    said = [event["action"] for event in (await client.get("/audit?object=mute")).json()]
    assert said == ["muteremoved", "muteremoved", "muteadded", "muteadded"]


async def test_the_overview_says_that_nobody_sends(client: AsyncClient, database: Database) -> None:
    """The ticker of these tests is off, and so is what sends."""
    await client.post("/channels", json=SLACK)
    await add_job(database, interval=60, jobname="Export")
    await notice(database, JobIssueKind.MISSED)
    await execute(database, "UPDATE alert SET at = at - interval '6 minutes'")
    found = {issue["what"]: issue for issue in (await client.get("/overview")).json()["issues"]}
    assert "“Export” missed 1 run" in found
    assert found["Alerts have been waiting for 6 minutes"]["why"] == "No process sends them."


async def test_how_long_alerts_are_kept(client: AsyncClient, database: Database) -> None:
    await client.post("/channels", json=SLACK)
    await add_job(database, interval=60)
    await notice(database, JobIssueKind.FAILED)
    await client.delete("/jobs/1")

    async def later(session: Session, now: Any) -> None:
        await sending.tend(session, now + timedelta(days=91))

    await database.transact(later)
    # What waits is kept, and so is what is open.
    assert len((await client.get("/alerts")).json()) == 2
    assert (await client.get("/issues?state=ended")).json() == []
    await execute(database, "UPDATE alert SET sentat = now(), messageid = gen_random_uuid()")
    await database.transact(later)
    assert (await client.get("/alerts")).json() == []
