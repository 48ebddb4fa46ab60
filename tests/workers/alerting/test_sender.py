"""What reaches a channel: each alert, at least once, under an id that stays; many together as one message."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as SmtpSession
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from scheduler_api.contracts.alerts.channels import ChannelDraft, NewChannel
from scheduler_api.contracts.alerts.issues import JobIssueKind
from scheduler_api.contracts.alerts.mutes import MuteDraft
from scheduler_api.database.alerts import outbox
from scheduler_api.database.alerts.noticing import Noticed
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.services.alerts import channels, issues, mutes, noticing, sending
from scheduler_api.services.alerts.sending import Taken
from scheduler_api.targets import Guard
from scheduler_api.workers.alerting.mail import Mailer, MailServer
from scheduler_api.workers.alerting.sender import Sender
from scheduler_api.workers.delivery.client import Client
from tests.factories import ACTOR, CIPHER, NOON, add_job, execute, rows, scalar
from tests.receiver import Receiver, receiving

BASE = "http://scheduler.example:5000"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No moment is waited for."""
    monkeypatch.setattr(sending, "SETTLED", timedelta(0))
    monkeypatch.setattr(sending, "BACKOFF", 0.0)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


class Post:
    """A mail server that keeps what it takes, and answers as it is told."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.answer = "250 OK"

    async def handle_DATA(self, _: SMTP, __: SmtpSession, envelope: Envelope) -> str:  # noqa: N802 - its name
        if self.answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            found = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(found, EmailMessage)
            self.taken.append(found)
            self.envelopes.append(envelope)
        return self.answer


@pytest.fixture
async def post() -> AsyncIterator[tuple[Post, str]]:
    handler = Post()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, hostname="tests", loop=loop), "127.0.0.1", 0)
    async with server:
        yield handler, f"smtp+plain://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
async def sender(database: Database) -> AsyncIterator[Callable[..., Sender]]:
    client = Client(Guard(loopback=True))
    await client.open()
    made: list[Sender] = []

    def make(mailer: Mailer | None = None) -> Sender:
        made.append(Sender(database, client, CIPHER, mailer, BASE))
        return made[-1]

    yield make
    for one in made:
        await one.stop()
    await client.close()


async def add_channel(database: Database, **values: Any) -> NewChannel:
    draft = ChannelDraft.model_validate({"name": "#ops", "kind": "webhook"} | values)
    return await database.transact(channels.add, ACTOR, draft, CIPHER, can_mail=True)


async def notice(database: Database, jobids: list[int], error: str = "It said no.") -> None:
    """Let the service notice that runs of jobs have failed."""

    async def work(session: Session, now: Any) -> None:
        found = [Noticed(one, JobIssueKind.FAILED, 1, NOON, NOON, 10 + one, error) for one in jobids]
        await noticing.notice(session, now, found)

    await database.transact(work)


async def step(sender: Sender) -> bool:
    """Send one message to the end; whether there was one."""
    found = await sender._step() == 0.0
    if sender._tasks:
        await asyncio.wait(list(sender._tasks))
    return found


async def states(database: Database) -> list[str]:
    query = """
        SELECT CASE WHEN sentat IS NOT NULL THEN 'sent' WHEN deadat IS NOT NULL THEN 'dead' ELSE 'waiting' END
        FROM alert ORDER BY alertid
    """
    return [row[0] for row in await rows(database, query)]


async def test_a_webhook_is_told_in_a_signed_message(
    database: Database, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    channel = await add_channel(database, url=receiver.url)
    await add_job(
        database,
        interval=60,
        jobname="Export",
        timezone="Europe/Berlin",
        owner="ann",
        target={"url": "http://a.example"},
    )
    await notice(database, [1])
    assert await step(sender())
    ((request, body),) = receiver.requests
    assert channel.secret is not None
    Webhook(channel.secret).verify(body, dict(request.headers))
    document = json.loads(body)
    assert document["title"] == "“Export” failed"
    assert document["messageid"] == request.headers["webhook-id"]
    assert "It said no." in document["text"]
    assert "Owner: ann" in document["text"]
    assert f"{BASE}/logs/11" in document["text"]
    assert f"Acknowledge: {BASE}/issues/1" in document["text"]
    (alert,) = document["alerts"]
    assert (alert["event"], alert["issueid"], alert["jobid"]) == ("opened", 1, 1)
    assert alert["facts"]["host"] == "a.example"
    assert await states(database) == ["sent"]
    assert not await step(sender())


async def test_a_message_that_is_not_taken_is_sent_again_under_its_id(
    database: Database, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    await add_channel(database, url=receiver.url)
    await add_job(database, interval=60)
    await add_job(database, interval=60)
    await notice(database, [1])
    receiver.always(500, "No.")
    assert await step(sender())
    row = (await rows(database, "SELECT failures, error, failingsince IS NOT NULL FROM alertchannel"))[0]
    assert tuple(row) == (1, "Status 500: No.", True)
    # What comes meanwhile is another message.
    await notice(database, [2])
    receiver.always(200)
    assert await step(sender())
    assert await step(sender())
    first, again, other = (json.loads(body) for _, body in receiver.requests)
    assert first == again
    assert other["messageid"] != first["messageid"]
    assert [len(message["alerts"]) for message in (first, again, other)] == [1, 1, 1]
    row = (await rows(database, "SELECT failures, error, failingsince FROM alertchannel"))[0]
    assert tuple(row) == (0, None, None)
    assert await states(database) == ["sent", "sent"]


async def test_who_dies_between_sending_and_writing_that_down_loses_nothing(
    database: Database, receiver: Receiver, sender: Callable[..., Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_channel(database, url=receiver.url)
    await add_job(database, interval=60)
    await notice(database, [1])

    async def dies(*_: Any) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        one = sender()
        patched.setattr(one, "_settle", dies)
        await step(one)
    assert await states(database) == ["waiting"]
    # The other holds the channel still.
    assert not await step(sender())
    await execute(database, "UPDATE alertchannel SET leaseuntil = now() - interval '1 second'")
    assert await step(sender())
    (_, first), (_, again) = receiver.requests
    assert first == again
    assert await states(database) == ["sent"]


async def test_one_replica_at_a_time_sends_to_a_channel(
    database: Database, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    await add_channel(database, url=receiver.url)
    for jobid in range(1, 4):
        await add_job(database, interval=60)
        await notice(database, [jobid])
    await asyncio.gather(*(step(sender()) for _ in range(4)))
    assert len(receiver.requests) == 1
    assert len(json.loads(receiver.requests[0][1])["alerts"]) == 3


async def test_who_began_to_look_a_moment_before_the_other_took_a_channel_does_not_take_it_too(
    database: Database, receiver: Receiver
) -> None:
    await add_channel(database, url=receiver.url)
    await add_job(database, interval=60)
    await notice(database, [1])
    now = datetime.now(UTC) + timedelta(seconds=1)

    async def take(session: Session, _: datetime, at: datetime) -> Taken | None:
        return await sending.take(session, at)

    assert await database.transact(take, now)
    assert await database.transact(take, now - timedelta(milliseconds=5)) is None


async def test_many_at_once_are_one_message_that_knows_the_cause_and_the_rest_waits_a_minute(
    database: Database, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    await add_channel(database, url=receiver.url)
    for number in range(40):
        host = "crm.example.com" if number < 36 else "b.example"
        await add_job(database, interval=60, jobname=f"Job {number}", target={"url": f"http://{host}/x"})
    await notice(database, list(range(1, 37)), "Connection refused.")
    await notice(database, [37])
    assert await step(sender())
    document = json.loads(receiver.requests[0][1])
    assert document["title"] == "37 jobs are failing, 36 of them on crm.example.com: Connection refused."
    assert len(document["alerts"]) == 37
    assert document["text"].endswith(f"And 27 more: {BASE}/issues")
    await notice(database, [38])
    assert not await step(sender())
    assert await states(database) == ["sent"] * 37 + ["waiting"]
    await execute(database, "UPDATE alertchannel SET openfrom = now()")
    assert await step(sender())


async def test_news_wait_for_a_moment_without_others_but_not_for_long(
    database: Database, receiver: Receiver, sender: Callable[..., Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SETTLED", timedelta(hours=1))
    monkeypatch.setattr(sending, "URGENT", timedelta(hours=3))
    await add_channel(database, url=receiver.url)
    await add_job(database, interval=60)
    await add_job(database, interval=60)
    await notice(database, [1])
    assert not await step(sender())
    await execute(database, "UPDATE alert SET at = at - interval '2 hours'")
    await notice(database, [2])
    assert not await step(sender())
    await execute(database, "UPDATE alert SET at = at - interval '1 hour 10 minutes'")
    assert await step(sender())
    assert len(json.loads(receiver.requests[0][1])["alerts"]) == 2


async def test_what_a_mute_holds_back_is_sent_when_that_is_over(
    database: Database, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    await add_channel(database, url=receiver.url)
    await add_job(database, interval=60)
    await add_job(database, interval=60)
    mute = MuteDraft.model_validate({"jobid": 1, "until": "2099-01-01T00:00:00Z"})
    await database.transact(mutes.add, ACTOR, mute)
    await notice(database, [1, 2])
    assert await step(sender())
    assert not await step(sender())
    assert [one["jobid"] for one in json.loads(receiver.requests[0][1])["alerts"]] == [2]
    await execute(database, "UPDATE alert SET holduntil = now() WHERE sentat IS NULL")
    assert await step(sender())
    assert [one["jobid"] for one in json.loads(receiver.requests[1][1])["alerts"]] == [1]


async def test_what_a_channel_does_not_take_for_a_day_is_given_up_and_can_be_sent_again(
    database: Database, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    await add_channel(database, url=receiver.url)
    for _ in range(2):
        await add_job(database, interval=60)
    await notice(database, [1, 2])
    receiver.always(404)
    assert await step(sender())
    await execute(database, "UPDATE alertchannel SET failingsince = now() - interval '25 hours'")
    # What is news has its day, too.
    assert await step(sender())
    assert await states(database) == ["waiting"] * 2
    await execute(database, "UPDATE alert SET at = at - interval '25 hours'")
    # A clock that was ahead for a moment may say so, too: it takes tries as well.
    assert await step(sender())
    assert await states(database) == ["waiting"] * 2
    await execute(database, "UPDATE alert SET attempts = :tries", tries=sending.MIN_TRIES - 1)
    with capture_logs() as said:
        assert await step(sender())
    assert [line["event"] for line in said if line["log_level"] == "error"] == ["alerts were given up"]
    assert await states(database) == ["dead"] * 2
    assert not await step(sender())
    receiver.always(200)
    await database.transact(issues.redrive, ACTOR, 2)
    assert await step(sender())
    assert await states(database) == ["sent"] * 2
    # As it was, under its id.
    told = [json.loads(body) for _, body in receiver.requests]
    assert {(message["messageid"], len(message["alerts"])) for message in told} == {(told[0]["messageid"], 2)}


async def test_a_clock_that_was_ahead_holds_no_alert_up(
    database: Database, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    await add_channel(database, url=receiver.url)
    for _ in range(2):
        await add_job(database, interval=60)
    await notice(database, [1])
    await execute(database, "UPDATE alert SET at = now() + interval '5 hours'")
    await execute(
        database,
        "UPDATE alertchannel SET openfrom = now() + interval '5 hours', leasetoken = gen_random_uuid(),"
        " leaseuntil = now() + interval '5 hours'",
    )
    assert await step(sender())
    await execute(database, "UPDATE alert SET sentat = now() + interval '5 hours'")
    minute = datetime.now(UTC) - timedelta(minutes=1)
    assert await database.transact(outbox.sent_since, 1, minute, 9) == 0
    # What is near is waited for.
    await notice(database, [2])
    await execute(database, "UPDATE alertchannel SET openfrom = now() + interval '10 minutes'")
    assert not await step(sender())


async def test_a_message_that_a_channel_calls_wrong_does_not_hold_up_others_for_long(
    database: Database, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    await add_channel(database, url=receiver.url)
    for _ in range(2):
        await add_job(database, interval=60)
    await notice(database, [1])
    receiver.always(400, "Bad payload.")
    for _ in range(sending.MAX_FINAL):
        assert await states(database) == ["waiting"]
        assert await step(sender())
    assert await states(database) == ["dead"]
    receiver.always(200)
    await notice(database, [2])
    assert await step(sender())
    assert await states(database) == ["dead", "sent"]


async def test_a_service_that_asks_to_wait_is_left_alone(
    database: Database, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    await add_channel(database, url=receiver.url)
    await add_job(database, interval=60)
    await notice(database, [1])
    receiver.always(429, **{"Retry-After": "120"})
    assert await step(sender())
    assert not await step(sender())
    seconds = "SELECT extract(epoch FROM openfrom - now()) FROM alertchannel"
    assert 100 < await scalar(database, seconds) <= 120


@pytest.mark.parametrize(
    "echo",
    [
        "No hook at {url}.",
        "Cannot POST /hook/{secret}",
        "x" * 170 + " {url}",
        '{{"hook":"very-secret-part"}}',
    ],
)
async def test_what_is_secret_of_a_channel_is_in_no_log_no_error_and_not_in_the_database(
    database: Database, receiver: Receiver, sender: Callable[..., Sender], echo: str
) -> None:
    secret = "T0/B0/very-secret-part"
    await add_channel(database, kind="slack", url=f"{receiver.url}/{secret}")
    await add_job(database, interval=60)
    await notice(database, [1])

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=403, text=echo.format(url=f"{receiver.url}/{secret}", secret=secret))

    receiver.answer = answer
    with capture_logs() as said:
        assert await step(sender())
    assert "very-se" not in str(said)
    for table in ("alertchannel", "alert", "auditevent"):
        assert "very-se" not in str(await rows(database, f"SELECT * FROM {table}"))
    assert "Status 403" in await scalar(database, "SELECT error FROM alertchannel")


async def test_mail_is_a_letter_in_plain_text_and_html_that_keeps_its_id(
    database: Database, post: tuple[Post, str], sender: Callable[..., Sender]
) -> None:
    server, url = post
    await add_channel(database, name="Mail", kind="email", recipients=["ann@example.com", "bo@example.com"])
    await add_job(database, interval=60, jobname="Export <b>", timezone="America/New_York")
    await notice(database, [1], "Exit\r\nBcc: eve@example.com <script>")
    mailer = Mailer(MailServer(url, "Scheduler <scheduler@example.com>"))
    server.answer = "451 Later."
    assert await step(sender(mailer))
    assert await states(database) == ["waiting"]
    assert "451" in await scalar(database, "SELECT error FROM alertchannel") or server.taken == []
    server.answer = "250 OK"
    assert await step(sender(mailer))
    (letter,) = server.taken
    assert server.envelopes[0].rcpt_tos == ["ann@example.com", "bo@example.com"]
    assert letter["Subject"] == "“Export <b>” failed"
    assert letter["From"] == "Scheduler <scheduler@example.com>"
    assert letter["Bcc"] is None
    messageid = await scalar(database, "SELECT messageid FROM alert")
    assert letter["Message-ID"] == f"<{messageid}@example.com>"
    plain, page = letter.get_body(("plain",)), letter.get_body(("html",))
    assert plain is not None
    assert page is not None
    assert "America/New_York (" in plain.get_content()
    assert "UTC)" in plain.get_content()
    assert "&lt;script&gt;" in page.get_content()
    assert "<script" not in page.get_content()
    assert f'href="{BASE}/issues/1"' in page.get_content()


async def test_a_mail_server_that_is_away_is_tried_again(
    database: Database, sender: Callable[..., Sender]
) -> None:
    await add_channel(database, name="Mail", kind="email", recipients=["ann@example.com"])
    await add_job(database, interval=60)
    await notice(database, [1])
    assert await step(sender(Mailer(MailServer("smtp+plain://127.0.0.1:1", "s@example.com"))))
    assert await states(database) == ["waiting"]
    assert "mail server" in await scalar(database, "SELECT error FROM alertchannel")


async def test_a_mail_server_that_is_dead_for_an_hour_gets_each_letter_once(
    database: Database, post: tuple[Post, str], sender: Callable[..., Sender]
) -> None:
    """What was noticed meanwhile is told after it, as a letter with an id of its own."""
    server, url = post
    mail = Mailer(MailServer(url, "s@example.com"))
    await add_channel(database, name="Mail", kind="email", recipients=["ann@example.com"])
    for _ in range(2):
        await add_job(database, interval=60)
    server.answer = "451 Later."
    await notice(database, [1])
    tries = 0
    while not await scalar(database, "SELECT failingsince < now() - interval '1 hour' FROM alertchannel"):
        assert await step(sender(mail))
        tries += 1
        if tries == 1:
            await notice(database, [2])
        # As much time passes as the channel is left alone, twice as long each time.
        passed = f"{5 * 2**tries} seconds"
        await execute(database, f"UPDATE alert SET at = at - interval '{passed}'")
        await execute(
            database,
            "UPDATE alertchannel SET openfrom = openfrom - interval '1 hour',"
            f" failingsince = coalesce(failingsince, now()) - interval '{passed}'",
        )
        assert tries < 20
    assert await states(database) == ["waiting", "waiting"]
    server.answer = "250 OK"
    while await step(sender(mail)):
        pass
    assert await states(database) == ["sent", "sent"]
    ids = [letter["Message-ID"] for letter in server.taken]
    assert (len(ids), len(set(ids))) == (2, 2)


async def test_what_a_restored_database_sends_once_more_has_the_id_that_it_had(
    database: Database, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    """The backup was taken when the alerts were written, and before they were sent."""
    await add_channel(database, url=receiver.url)
    for _ in range(3):
        await add_job(database, interval=60)
    await notice(database, [1, 2])
    while await step(sender()):
        pass
    await execute(database, "UPDATE alert SET sentat = NULL, messageid = NULL, attempts = 0")
    while await step(sender()):
        pass
    # With one more, it is another message.
    await notice(database, [3])
    await execute(database, "UPDATE alert SET sentat = NULL, messageid = NULL, attempts = 0")
    while await step(sender()):
        pass
    first, second, third = (json.loads(body)["messageid"] for _, body in receiver.requests)
    assert first == second != third
    assert receiver.requests[0][1] == receiver.requests[1][1]


async def test_a_password_is_not_sent_to_a_mail_server_that_does_not_encrypt(
    database: Database, post: tuple[Post, str], sender: Callable[..., Sender]
) -> None:
    server, url = post
    await add_channel(database, name="Mail", kind="email", recipients=["ann@example.com"])
    await add_job(database, interval=60)
    await notice(database, [1])
    plain = url.replace("smtp+plain://", "smtp://ann:secret@")
    assert await step(sender(Mailer(MailServer(plain, "s@example.com"))))
    assert await states(database) == ["waiting"]
    assert server.taken == []


async def test_what_tracks_issues_itself_gets_an_event_of_each_and_of_its_end(
    database: Database, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    await add_channel(database, kind="pagerduty", url=receiver.url, token="R0123")
    await add_job(database, interval=60)
    await add_job(database, interval=60)
    await notice(database, [1, 2])

    async def over(session: Session, now: Any) -> None:
        await noticing.succeeded(session, now, {1: now})

    await database.transact(over)
    while await step(sender()):
        pass
    events = [json.loads(body) for _, body in receiver.requests]
    assert [event["event_action"] for event in events] == ["trigger", "trigger", "resolve"]
    first, second, third = (event["dedup_key"] for event in events)
    assert first == third != second


async def test_a_test_reaches_the_channel(
    database: Database, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    await add_channel(database, url=receiver.url)
    # At once, although it has failed.
    await execute(database, "UPDATE alertchannel SET openfrom = now() + interval '1 hour'")
    await database.transact(channels.test, 1)
    assert await step(sender())
    assert json.loads(receiver.requests[0][1])["title"] == "Test alert"
