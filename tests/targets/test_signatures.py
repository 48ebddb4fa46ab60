"""What receivers recognise a delivery by."""

import base64
import hmac
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
import svix
from standardwebhooks import Webhook, WebhookVerificationError

from scheduler_api.targets import signatures

CREATED = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
DUE = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def headers(secrets: list[str], at: datetime, body: str | bytes) -> dict[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signatures.sign(
            secrets, "msg_1", at, body.encode() if isinstance(body, str) else body
        ),
    }


def test_secrets_are_long_and_new() -> None:
    one, other = signatures.new_secret(), signatures.new_secret()
    assert one != other
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", one)


@pytest.mark.parametrize(
    "zone", [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))]
)
def test_receivers_verify_with_either_secret_while_one_is_replaced(zone: timezone) -> None:
    old, new = signatures.new_secret(), signatures.new_secret()
    body = '{"a": "é"}'
    signed = headers([old, new], datetime.now(zone), body)
    for secret in (old, new):
        assert Webhook(secret).verify(body, signed) == {"a": "é"}
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body + " ", signed)
    with pytest.raises(WebhookVerificationError):
        Webhook(signatures.new_secret()).verify(body, signed)


@pytest.mark.parametrize("body", ['{"a": "é"}', "", "Grüße", "1"])
def test_libraries_verify_every_kind_of_text(body: str) -> None:
    """As the page on targets says."""
    secret = signatures.new_secret()
    signed = headers([secret], datetime.now(UTC), body)
    Webhook(secret).verify(body.encode(), signed, json_parse=False)
    svix.Webhook(secret).verify(body.encode(), signed)
    with pytest.raises(WebhookVerificationError):
        svix.Webhook(secret).verify(body.encode() + b" ", signed)


def test_what_no_library_reads_is_signed_as_it_is_sent() -> None:
    secret, body = signatures.new_secret(), "Grüße".encode("latin-1")
    signed = headers([secret], datetime.now(UTC), body)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    sent = f"{signed['webhook-id']}.{signed['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, sent, "sha256")).decode()
    assert signed["webhook-signature"] == f"v1,{expected}"


def test_without_a_secret_there_is_no_signature() -> None:
    assert signatures.sign([], "msg_1", DUE, b"") == ""


def test_the_delivery_id_is_the_same_everywhere_and_for_ever() -> None:
    made = signatures.delivery_id(7, CREATED, DUE, "schedule")
    assert made == "msg_c1af2d0bf1699d1cf358e806957de9e8"
    elsewhere = DUE.astimezone(timezone(timedelta(hours=9)))
    assert signatures.delivery_id(7, CREATED, elsewhere, "schedule") == made


def test_every_part_makes_another_delivery() -> None:
    second = timedelta(seconds=1)
    ids = {
        signatures.delivery_id(7, CREATED, DUE, "schedule"),
        signatures.delivery_id(8, CREATED, DUE, "schedule"),
        signatures.delivery_id(7, CREATED + second, DUE, "schedule"),
        signatures.delivery_id(7, CREATED, DUE + second, "schedule"),
        signatures.delivery_id(7, CREATED, DUE, "request"),
    }
    assert len(ids) == 5


def test_the_trace() -> None:
    made = signatures.delivery_id(7, CREATED, DUE, "schedule")
    trace = signatures.traceparent(made, 1)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace)
    assert trace == f"00-{made.removeprefix('msg_')}-{signatures.span_id(made, 1)}-01"
    assert len({signatures.traceparent(made, attempt) for attempt in (1, 2, 3)}) == 3
