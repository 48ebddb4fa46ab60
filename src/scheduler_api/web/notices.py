"""What a redirect to a list has to tell."""

import re
from collections.abc import Mapping
from typing import NamedTuple

COUNT = re.compile(r"\d{1,18}", re.ASCII)


class Notice(NamedTuple):
    """What was just done, and how to take it back."""

    text: str
    undo: str | None = None
    """Where a form takes it back; None: it can not be."""


def notice(query: Mapping[str, str]) -> Notice | None:
    """What was just done. Only numbers are taken from the address."""
    counts = {name: int(value) for name, value in query.items() if COUNT.fullmatch(value)}
    for name, told in TOLD.items():
        if name in counts:
            undo = told.undo
            return Notice(told.text.format(counts[name]), undo and undo.format(counts[name]))
    if "retried" in counts:
        left = " It took long: some are left, so ask again." if "left" in counts else ""
        one = counts["retried"] == 1
        return Notice(f"{counts['retried']:,} {'run is' if one else 'runs are'} tried again.{left}")
    if "finished" not in counts:
        return None
    parts = [f"{counts[name]} {name}" for name in ("finished", "failed", "skipped") if counts.get(name)]
    return Notice(f"Ran what was due: {', '.join(parts)}." if parts else "Nothing was due.")


TOLD = {
    "created": Notice("Job {} was created."),
    "deleted": Notice("Job {} was deleted."),
    "paused": Notice("Job {} is paused.", "/jobs/{}/resume"),
    "resumed": Notice("Job {} goes on.", "/jobs/{}/pause"),
    "started": Notice("A run of job {} was asked for."),
    "spread": Notice("Job {} starts later from now on, by its own share of the offset."),
    "skippednext": Notice("The next run of job {} is skipped."),
}
#: What addresses carry for notices only.
NAMES = (*TOLD, "retried", "left", "finished", "failed", "skipped")
