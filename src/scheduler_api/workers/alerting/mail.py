"""E-mail, by the operator's SMTP server."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from uuid import UUID

import aiosmtplib
import structlog

log = structlog.get_logger(__name__)

#: Seconds for each step of the conversation, and for all of it.
STEP, PATIENCE = 10.0, 30.0


class MailServer(NamedTuple):
    """Whom to hand mail to, and from whom it is."""

    url: str
    """`smtps://` encrypts from the beginning, `smtp://` by STARTTLS, `smtp+plain://` never."""
    sender: str


class Letter(NamedTuple):
    """What to send."""

    messageid: UUID
    at: datetime
    subject: str
    text: str
    html: str


class Mailer:
    """Hands letters to a server, a connection for each."""

    def __init__(self, server: MailServer) -> None:
        self._sender = server.sender
        parts = urlsplit(server.url)
        self._scheme = parts.scheme
        self._host, self._port = parts.hostname or "localhost", parts.port
        self._username = None if parts.username is None else unquote(parts.username)
        self._password = None if parts.password is None else unquote(parts.password)
        self._context: ssl.SSLContext | None = None

    async def send(self, letter: Letter, recipients: Sequence[str]) -> str | None:
        """Send a letter; why it was not taken, as a sentence. None: it was."""
        try:
            async with asyncio.timeout(PATIENCE):
                refused = await self._send(letter, recipients)
        except TimeoutError:
            return "The mail server did not answer in time."
        except aiosmtplib.SMTPRecipientsRefused as error:
            return f"The mail server takes no mail for any recipient: {_first(error.recipients)}"
        except aiosmtplib.SMTPAuthenticationError:
            # The answer may repeat what was sent.
            return "The mail server does not accept the name or the password in SCHEDULER_SMTP_URL."
        except (aiosmtplib.SMTPException, OSError) as error:
            return f"The mail server did not take the message: {error}"
        if refused:
            log.warning("some recipients got no mail", recipients=sorted(refused))
        return None

    async def _send(self, letter: Letter, recipients: Sequence[str]) -> Sequence[str]:
        """Hand a letter over; who of the recipients does not get it."""
        if self._context is None and self._scheme != "smtp+plain":
            # All authorities are read.
            self._context = await asyncio.to_thread(ssl.create_default_context)
        answers, _ = await aiosmtplib.send(
            self._written(letter, recipients),
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password,
            local_hostname=socket.gethostname(),
            use_tls=self._scheme == "smtps",
            start_tls=self._scheme == "smtp",
            tls_context=self._context,
            timeout=STEP,
        )
        return list(answers)

    def _written(self, letter: Letter, recipients: Sequence[str]) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = ", ".join(recipients)
        message["Subject"] = " ".join(letter.subject.split())
        message["Date"] = format_datetime(letter.at)
        # The same however often it is sent: so a mail program shows it once.
        message["Message-ID"] = f"<{letter.messageid}@{self._sender.rpartition('@')[2].rstrip('>')}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        message.add_alternative(letter.html, subtype="html")
        return message


def _first(refusals: Sequence[aiosmtplib.SMTPRecipientRefused]) -> str:
    return refusals[0].message if refusals else "no reason was given"
