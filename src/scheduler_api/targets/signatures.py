"""What lets a receiver recognise a delivery: signatures (Standard Webhooks), its id, and a trace."""

import base64
import hmac
import secrets as random
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

_PREFIX, _SECRET_PREFIX = "msg_", "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """A secret to sign with, in the form that the libraries of Standard Webhooks take."""
    return _SECRET_PREFIX + base64.b64encode(random.token_bytes(_SECRET_BYTES)).decode()


def sign(secrets: Sequence[str], msgid: str, at: datetime, body: bytes) -> str:
    """The header `webhook-signature`: a signature for each secret, as there are two while one is replaced.

    Of the bytes that are sent, in whatever charset (the Standard Webhooks specification, "Signature scheme").
    """
    signed = f"{msgid}.{int(at.timestamp())}.".encode() + body
    return " ".join(f"v1,{_digest(secret, signed)}" for secret in secrets)


def _digest(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    return base64.b64encode(hmac.digest(key, signed, sha256)).decode()


def delivery_id(jobid: int, createdat: datetime, scheduledfor: datetime, cause: str) -> str:
    """The id of the delivery for an occurrence: the same for every attempt, whichever process makes it.

    The job's creation is part of it, as a database that starts anew counts its jobs from 1 again.
    """
    created, due = _in_utc(createdat), _in_utc(scheduledfor)
    # Never to be changed: receivers know past deliveries by their ids.
    return _PREFIX + sha256(f"{jobid} {created} {due} {cause}".encode()).hexdigest()[:32]


def _in_utc(instant: datetime) -> str:
    return (instant if instant.tzinfo is UTC else instant.astimezone(UTC)).isoformat()


def cause_of(cause: str, parentlogid: int | None) -> str:
    """What sets apart runs of a job at one instant: why they came to be, and after which log."""
    return cause if parentlogid is None else f"{cause} {parentlogid}"


def trace_id(deliveryid: str) -> str:
    """The trace of a delivery (W3C Trace Context): that of all its attempts."""
    return deliveryid.removeprefix(_PREFIX)


def span_id(deliveryid: str, attempt: int) -> str:
    """The span of an attempt: it follows from the delivery and the number of the attempt."""
    return sha256(f"{deliveryid} {attempt}".encode()).hexdigest()[:16]


def traceparent(deliveryid: str, attempt: int) -> str:
    """The W3C header by which the receiver's traces join: one trace a delivery, one span an attempt."""
    return f"00-{trace_id(deliveryid)}-{span_id(deliveryid, attempt)}-01"
