"""Sends what channels are to be told: each replica takes channels in turn, several at a time."""

import asyncio
import re
from datetime import UTC, datetime
from itertools import product
from urllib.parse import urlsplit

import structlog

from scheduler_api import metrics
from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.alerts.channels import ChannelKind, ChannelSecrets
from scheduler_api.database.engine import Database, undisturbed
from scheduler_api.errors import OutOfDescriptors, SchedulerError, SecretsUnavailable
from scheduler_api.services.alerts import sending
from scheduler_api.services.alerts.sending import Rejection, Taken
from scheduler_api.targets import backoff, signatures
from scheduler_api.targets.scrubbing import scrubbed, secrets_in
from scheduler_api.wording import alert_formats, alert_mail
from scheduler_api.wording.alert_formats import Request
from scheduler_api.wording.alerts import Message, message_of
from scheduler_api.workers.alerting.mail import Letter, Mailer
from scheduler_api.workers.delivery.client import Call, Client
from scheduler_api.workers.loops import Loop

log = structlog.get_logger(__name__)

#: Seconds between two looks; and that a service may take to answer.
EVERY, PATIENCE = 1.0, 15.0
#: Channels that are told at once.
AT_ONCE = 4
#: Statuses of requests that are wrong only for now, or with a channel that somebody has to mend.
TRANSIENT = {401, 403, 404, 408, 410, 425, 429}
#: Characters of a part of an address that are no secret.
SHORT = 6
#: Characters of an answer that are shown.
MAX_ANSWER = 200


class Sender:
    """Sends until it is stopped; `base_url` is where the links lead."""

    def __init__(
        self,
        database: Database,
        client: Client,
        cipher: Cipher,
        mailer: Mailer | None,
        base_url: str,
        name: str | None = None,
    ) -> None:
        """Without a mailer, e-mail waits for a replica that has one.

        `name` is under which this replica is connected to the database for as long as it lives.
        """
        self._database = database
        self._name = name
        self._client = client
        self._cipher = cipher
        self._mailer = mailer
        self._base_url = base_url
        self._tasks = set[asyncio.Task[None]]()
        self.loop = Loop("sending of alerts", self._step, EVERY)
        # A counter that is first seen with 5 has not increased, for Prometheus.
        for kind, outcome in product(ChannelKind, ("sent", "failed", "dead")):
            metrics.ALERTS.labels(kind, outcome)

    async def stop(self) -> None:
        """Take no further message, and finish those in progress."""
        await self.loop.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _step(self) -> float:
        """Take a message, if there is one and room for it; seconds to the next look."""
        if len(self._tasks) >= AT_ONCE:
            return EVERY / 10
        taken = await undisturbed(self._database.transact(sending.take, self._name))
        if taken is None:
            return EVERY
        task = asyncio.create_task(self._tell(taken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return 0.0

    async def _tell(self, taken: Taken) -> None:
        """Send a message, and write down what came of it; without that, it is sent again after a while."""
        try:
            outcome = await self._send(taken)
        except Exception as error:  # a message that cannot be written keeps none of the others
            log.exception("an alert cannot be sent", channel=taken.channel.name)
            outcome = Rejection(f"The message cannot be put together: {type(error).__name__}.", is_final=True)
        try:
            await self._settle(taken, outcome)
        except SchedulerError as error:
            name = taken.channel.name
            log.warning("what came of an alert is not written down", channel=name, error=str(error))

    async def _settle(self, taken: Taken, outcome: Rejection | None) -> None:
        kind, count = taken.channel.kind, len(taken.alerts)
        if outcome is None:
            await undisturbed(self._database.transact(sending.sent, taken))
            metrics.ALERTS.labels(kind, "sent").inc(count)
            log.info("told a channel of alerts", channel=taken.channel.name, alerts=count)
            return
        work = self._database.transact(sending.refused, taken, outcome)
        is_dead = await undisturbed(work)
        metrics.ALERTS.labels(kind, "failed").inc(count)
        if is_dead:
            metrics.ALERTS.labels(kind, "dead").inc(count)
        tell = log.error if is_dead else log.warning
        tell(
            "alerts were given up" if is_dead else "a channel takes no alerts",
            channel=taken.channel.name,
            alerts=count,
            error=outcome.error,
        )

    async def _send(self, taken: Taken) -> Rejection | None:
        if not taken.alerts:
            return None
        message = message_of(taken.alerts, self._base_url)
        kind = ChannelKind(taken.channel.kind)
        if kind is ChannelKind.EMAIL:
            return await self._mail(message, taken)
        assert taken.channel.ciphertext is not None
        try:
            opened = self._cipher.decrypt(taken.channel.ciphertext)
        except SecretsUnavailable as error:
            return Rejection(str(error))
        secrets = ChannelSecrets.model_validate_json(opened)
        request = alert_formats.request_of(kind, message, secrets)
        return await self._post(_signed(request, secrets, taken), secrets)

    async def _mail(self, message: Message, taken: Taken) -> Rejection | None:
        if self._mailer is None:
            return Rejection("This replica sends no e-mail: set SCHEDULER_SMTP_URL and SCHEDULER_MAIL_FROM.")
        letter = Letter(
            message.messageid,
            taken.alerts[-1].at,
            message.title,
            alert_mail.as_text(message),
            alert_mail.as_html(message),
        )
        error = await self._mailer.send(letter, taken.channel.recipients)
        return None if error is None else Rejection(error)

    async def _post(self, request: Request, secrets: ChannelSecrets) -> Rejection | None:
        call = Call("POST", request.url, request.headers, request.body, PATIENCE)
        try:
            answer = await self._client.call(call)
        except OutOfDescriptors as error:
            return Rejection(str(error))
        if answer.status is not None and 200 <= answer.status < 300:  # noqa: PLR2004 - success
            return None
        hidden = _hidden(secrets)
        if answer.status is None:
            return Rejection(scrubbed(answer.error or f"{answer.failure}", hidden))
        # First what is secret goes, then what is too long: of a part of it nobody would know.
        said = scrubbed(" ".join((answer.excerpt or "").split()), hidden, is_cut=answer.truncated)[
            :MAX_ANSWER
        ]
        after = backoff.retry_after(answer.retryafter, datetime.now(UTC))
        is_final = 400 <= answer.status < 500 and answer.status not in TRANSIENT  # noqa: PLR2004 - a class
        return Rejection(f"Status {answer.status}{': ' if said else '.'}{said}", after, is_final)


def _hidden(secrets: ChannelSecrets) -> list[str]:
    """What no answer may tell: the address, its path, and each part of that which may be the secret one."""
    parts = urlsplit(secrets.url)
    rest = f"{parts.path}?{parts.query}" if parts.query else parts.path
    segments = [part for part in re.split(r"[/?&=]", rest) if len(part) >= SHORT]
    found = [secrets.url, secrets.token, secrets.chat, rest, parts.path, parts.query, *segments]
    return secrets_in({}, [text for text in found if text and len(text) >= SHORT])


def _signed(request: Request, secrets: ChannelSecrets, taken: Taken) -> Request:
    """The request, signed by Standard Webhooks if the channel has a secret."""
    if secrets.secret is None:
        return request
    msgid = str(taken.alerts[0].messageid)
    headers = {
        "webhook-id": msgid,
        "webhook-timestamp": str(int(taken.at.timestamp())),
        "webhook-signature": signatures.sign([secrets.secret], msgid, taken.at, request.body),
    }
    return request._replace(headers=request.headers | headers)
