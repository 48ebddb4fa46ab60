"""Requests that the service sends: whether they come from it, and what they are."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from standardwebhooks import Webhook, WebhookVerificationError


class NotFromService(Exception):
    """The request is not signed with the secret, or its signature is older than five minutes."""


class Delivery(NamedTuple):
    """A request of which it is known that the service sent it."""

    id: str
    """The same for all attempts of a run: who remembers it does the work once."""
    report: str | None
    """Where to report on the run, if this request is answered with 202."""


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> Delivery:
    """Verify a request by its headers and its body, whatever that holds, an empty one too.

    Raises NotFromService.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        Webhook(secret).verify(body, lower)
    except WebhookVerificationError as error:
        raise NotFromService(str(error)) from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        # The library reads the body as JSON once the signature has matched; it need not be JSON.
        pass
    return Delivery(lower["webhook-id"], lower.get("scheduler-run"))
