"""What a redirect to a page has to tell."""

import re
from collections.abc import Mapping
from typing import NamedTuple

COUNT = re.compile(r"\d{1,18}", re.ASCII)


class Notice(NamedTuple):
    """What was just done, and how to take it back."""

    text: str
    jobid: int | None = None
    """To which job; None: to none, or to many."""
    name: str = ""
    """What the job is called."""
    undo: str | None = None
    """Where a form takes it back; None: it cannot be."""
    version: int | None = None
    """The version of the job that is taken back; None: whichever it has."""


def notice(query: Mapping[str, str], names: Mapping[int, str], *, can_undo: bool = False) -> Notice | None:
    """What was just done, and the way back if it `can_undo` that.

    Only numbers are taken from the address; jobs are called by these names.
    """
    counts = {name: int(value) for name, value in query.items() if COUNT.fullmatch(value)}
    for name, (text, undo) in TO_JOBS.items():
        if name in counts:
            jobid = counts[name]
            way = f"/jobs/{jobid}/{undo}" if undo and can_undo and jobid in names else None
            return Notice(text, jobid, names.get(jobid, f"job {jobid}"), way)
    for name, text in DONE.items():
        if name in counts:
            one = counts[name] == 1
            return Notice(text.format(f"{counts[name]:,}", "" if one else "s"))
    if "retried" in counts:
        left = " Stopped after the time limit; retry the rest." if "left" in counts else ""
        one = counts["retried"] == 1
        return Notice(f"Retrying {counts['retried']:,} {'run' if one else 'runs'}.{left}")
    if "finished" not in counts:
        return None
    parts = [f"{counts[name]} {name}" for name in ("finished", "failed", "skipped") if counts.get(name)]
    return Notice(f"Ran due jobs: {', '.join(parts)}." if parts else "No runs were due.")


def jobid_of(query: Mapping[str, str]) -> int | None:
    """Of which job there is something to tell; None: of none."""
    return next((int(query[name]) for name in TO_JOBS if COUNT.fullmatch(query.get(name, ""))), None)


#: What is done to a job, and what takes it back.
TO_JOBS = {
    "created": ("Created", "delete"),
    "edited": ("Saved", "undo"),
    "deleted": ("Deleted", "restore"),
    "restored": ("Restored", None),
    "undone": ("Undid the last edit of", None),
    "paused": ("Paused", "resume"),
    "resumed": ("Resumed", "pause"),
    "started": ("Started", None),
    "spread": ("Spread", None),
    "skippednext": ("Skipped the next run of", None),
}
#: What else there is to tell.
DONE = {
    "backfilled": "Running {} past occurrence{}.",
    "calendarset": "Saved the calendar. Runs of {} job{} have changed.",
    "calendarremoved": "Removed the calendar.",
}
#: What addresses carry for notices only.
NAMES = (*TO_JOBS, *DONE, "retried", "left", "finished", "failed", "skipped")
