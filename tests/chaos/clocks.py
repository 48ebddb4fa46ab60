"""Clocks of replicas that are wrong, where libfaketime is installed (`apt-get install libfaketime`)."""

from pathlib import Path

#: How far the clocks of replicas are off, one after the other.
OFFSETS = ("+0", "+1h", "-1h")


FOREIGN = "not here: that needs libfaketime"


def library(name: str = "libfaketimeMT.so.1") -> str | None:
    """libfaketime for a program with threads; None: it is not installed."""
    return next(map(str, Path("/usr/lib").glob(f"*/faketime/{name}")), None)


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


class Clock:
    """The clock of a server of several processes: all of them see each step at once."""

    def __init__(self, file: Path, *, moves: bool) -> None:
        self._file = file
        self._moves = moves
        self.set(0.0)

    @property
    def environment(self) -> dict[str, str]:
        """Of those that look at it."""
        # Without threads: a lock could be met again in a signal's handler.
        found = library("libfaketime.so.1")
        if found is None or not self._moves:
            return {}
        return {
            "LD_PRELOAD": found,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, ahead: float) -> None:
        """Let it be ahead by so many seconds, which may be less than none."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+g}\n")
        new.chmod(0o644)
        new.rename(self._file)
