"""What becomes of runs, as values."""

from datetime import datetime
from typing import NamedTuple


class Result(NamedTuple):
    """What becomes of a log that is to run, runs, or has run."""

    logid: int
    status: str
    """`running`, `finished`, `failed`, or `pending`: another attempt."""
    error: str | None = None
    """Why it has failed."""
    retry: datetime | None = None
    """When the next attempt is due."""
    released: bool = False
    """Whether no request was made: then the attempt does not count."""
    missed: int | None = None
    """Of a run that begins (and ends at once, if it is plain): how many further occurrences it stands for.

    None: it has begun, and what it stands for has been written.
    """
    through: datetime | None = None
    """The last of these."""
    next: datetime | None = None
    """The job's next occurrence: its row is added now."""
    tried: datetime | None = None
    """When that is tried, if not at its own time."""
    following: datetime | None = None
    """Of a run that begins: the occurrence to add when it ends."""


class AttemptEnd(NamedTuple):
    """How an attempt ended."""

    logid: int
    attempt: int
    outcome: str
    failure: str | None
    error: str | None
    httpstatus: int | None
    timing: str | None
    """As JSON."""
    excerpt: str | None


class Skipped(NamedTuple):
    """An occurrence, or many, that did not run: a pending log that is not to run, or one that has no log."""

    jobid: int
    first: datetime
    reason: str
    missed: int | None = 0
    """How many further occurrences it stands for; None: as its log says."""
    through: datetime | None = None
    """The last of these."""
    lastrun: datetime | None = None
    runs: int = 0
    parentlogid: int = 0
    """The log that it was to run after; 0: none."""
    logid: int | None = None
    """The pending log; None: there is none."""
    next: datetime | None = None
    """The job's next occurrence: its row is added now."""
    tried: datetime | None = None
    """When that is tried, if not at its own time."""

    @property
    def status(self) -> str:
        """What becomes of it."""
        return "skipped"


class Acceptance(NamedTuple):
    """A running log whose target goes on by itself."""

    logid: int
    attempt: int
    until: datetime
    httpstatus: int | None
    timing: str | None
    excerpt: str | None
