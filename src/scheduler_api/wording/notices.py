"""What a redirect to a list has to tell."""

import re
from collections.abc import Mapping
from typing import NamedTuple

COUNT = re.compile(r"\d{1,18}", re.ASCII)


class Notice(NamedTuple):
    """What was just done, and how to take it back."""

    text: str
    undo: str | None = None
    """Where a form takes it back; None: it cannot be."""


def notice(query: Mapping[str, str]) -> Notice | None:
    """What was just done. Only numbers are taken from the address."""
    counts = {name: int(value) for name, value in query.items() if COUNT.fullmatch(value)}
    for name, done in DONE.items():
        if name in counts:
            undo = done.undo
            return Notice(done.text.format(counts[name]), undo and undo.format(counts[name]))
    if "retried" in counts:
        left = " Stopped after the time limit; retry the rest." if "left" in counts else ""
        one = counts["retried"] == 1
        return Notice(f"Retrying {counts['retried']:,} {'run' if one else 'runs'}.{left}")
    if "finished" not in counts:
        return None
    parts = [f"{counts[name]} {name}" for name in ("finished", "failed", "skipped") if counts.get(name)]
    return Notice(f"Ran due jobs: {', '.join(parts)}." if parts else "No runs were due.")


DONE = {
    "created": Notice("Created job {}.", "/jobs/{}/delete"),
    "deleted": Notice("Deleted job {}."),
    "paused": Notice("Paused job {}.", "/jobs/{}/resume"),
    "resumed": Notice("Resumed job {}.", "/jobs/{}/pause"),
    "started": Notice("Started job {}."),
    "spread": Notice("Spread job {}."),
    "calendarset": Notice("Saved the calendar. Runs of {} jobs have changed."),
    "calendarremoved": Notice("Removed the calendar."),
    "skippednext": Notice("Skipped the next run of job {}."),
}
#: What addresses carry for notices only.
NAMES = (*DONE, "retried", "left", "finished", "failed", "skipped")
