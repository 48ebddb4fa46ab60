"""Clocks of replicas that are wrong, where libfaketime is installed (`apt-get install libfaketime`)."""

from pathlib import Path

#: How far the clocks of replicas are off, one after the other.
OFFSETS = ("+0", "+1h", "-1h")


def library() -> str | None:
    """libfaketime for a program with threads; None: it is not installed."""
    return next(map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


def preloaded() -> dict[str, str]:
    """The environment of those whose clock may be moved; their clocks for time spans stay right."""
    found = library()
    if found is None:
        return {}
    return {
        "LD_PRELOAD": found,
        "FAKETIME": OFFSETS[0],
        # A forked process looks at its own offset.
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def moved(number: int) -> dict[str, str]:
    """The environment of the replica of that number."""
    return {} if library() is None else {"FAKETIME": OFFSETS[number % len(OFFSETS)]}
