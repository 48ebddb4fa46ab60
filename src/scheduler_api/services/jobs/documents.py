"""A job as a document: what its author wrote of it; and what the history of changes keeps of that.

The history keeps what differs, and neither secrets nor large bodies.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from scheduler_api.contracts.jobs.credentials import masked
from scheduler_api.database.jobs import definitions

#: Bytes of a body's JSON from which on the history tells its size and digest only.
MAX_BODY_KEPT = 1024

Document = Mapping[str, Any]


def written(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the author wrote of a job, as JSON has it."""
    return {name: plain(values[name]) for name in definitions.WRITTEN}


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if hasattr(value, "isoformat") else value


def recorded(document: Document) -> dict[str, Any]:
    """A whole job."""
    return {name: _kept(value) if name == "target" else value for name, value in document.items()}


def difference(before: Document, after: Document) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that an edit has changed, as they were and as they became; of a target, its own fields."""
    was, became = _changed(before, after)
    if was.get("target") and became.get("target"):
        was["target"], became["target"] = _changed(was["target"], became["target"])
        old, new = (side["target"].get("headers") for side in (was, became))
        if old is not None or new is not None:
            was["target"]["headers"], became["target"]["headers"] = _changed(old or {}, new or {})
    return recorded(was), recorded(became)


def lacking(days: Collection[str], others: Collection[str]) -> list[str]:
    """The days that are not among the others, in order."""
    return sorted(set(days) - set(others))


def _changed(before: Document, after: Document) -> tuple[dict[str, Any], dict[str, Any]]:
    names = [name for name in {**after, **before} if before.get(name) != after.get(name)]
    was, became = ({name: side[name] for name in names if name in side} for side in (before, after))
    return was, became


def _kept(target: Document | None) -> dict[str, Any] | None:
    if target is None:
        return None
    kept = dict(target)
    if kept.get("headers"):
        kept["headers"] = masked(kept["headers"])
    if kept.get("body") is not None:
        kept["body"] = _body(kept["body"])
    return kept


def _body(body: Any) -> Any:
    content = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    if len(content) <= MAX_BODY_KEPT:
        return body
    return f"{len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}"
