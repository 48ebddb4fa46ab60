"""JSON values that are kept and sent: how large they may be, and what the database cannot keep."""

from typing import Any

from pydantic_core import to_json

#: Objects and arrays inside one another; and bytes, as JSON without blanks, in UTF-8.
MAX_BODY_DEPTH, MAX_BODY = 16, 65_536
#: Beyond it, JSON's readers disagree.
MAX_NUMBER = 1e300


def body_error(value: Any) -> str | None:
    """Why a JSON value cannot be kept as a body; None: it can."""
    return _unstorable(value) or _too_large(value)


def _unstorable(value: Any, depth: int = 0) -> str | None:
    """Why the database cannot keep a JSON value; None: it can."""
    if depth > MAX_BODY_DEPTH:
        return f"Must not be nested deeper than {MAX_BODY_DEPTH} levels."
    if isinstance(value, int | float) and not -MAX_NUMBER < value < MAX_NUMBER:
        return "Must not contain numbers that large."
    if isinstance(value, str):
        return "Must not contain the character NUL, or unpaired surrogates." if _is_broken(value) else None
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((wrong for item in inner if (wrong := _unstorable(item, depth + 1))), None)


def _too_large(value: Any) -> str | None:
    size = len(to_json(value))
    return f"Must be at most {MAX_BODY:,} bytes as JSON; it is {size:,}." if size > MAX_BODY else None


def _is_broken(text: str) -> bool:
    return any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)
