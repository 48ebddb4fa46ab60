"""Whether the ledger accounts for each occurrence exactly once, by arithmetic on what authors wrote."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tests.chaos.evidence import Change, Evidence, Log, Made

#: How late an occurrence may be accounted for on a busy machine.
SLACK = timedelta(seconds=5)
TICK = timedelta(microseconds=1)


class Grid(NamedTuple):
    """`start`, and every `interval` after it, for the occurrences after `since` up to `to`."""

    start: datetime
    interval: timedelta
    since: datetime
    to: datetime | None

    def count(self, instant: datetime) -> int:
        """How many occurrences there are up to an instant, which counts: the number of the next one."""
        return 0 if instant < self.start else (instant - self.start) // self.interval + 1

    def number(self, instant: datetime) -> int | None:
        """Which occurrence an instant is, from 0; None: none."""
        number, rest = divmod(instant - self.start, self.interval)
        return None if rest or number < 0 else number

    def holds(self, instant: datetime) -> bool:
        """Whether the schedule was in force at an instant."""
        return self.since < instant and (self.to is None or instant <= self.to)


def check(evidence: Evidence) -> tuple[int, list[str]]:
    """How many occurrences the ledger accounts for, and what is wrong with that."""
    logs, changes = defaultdict(list), defaultdict(list)
    for log in evidence.logs:
        if log.cause == "schedule":
            logs[log.jobid].append(log)
    for change in evidence.changes:
        changes[change.jobid].append(change)
    total, found = 0, list(_twice(evidence.logs))
    for made in evidence.made:
        ledger = _Ledger(made, sorted(logs[made.jobid], key=lambda log: log.scheduledfor))
        found += ledger.check(_grids(made, changes[made.jobid]), evidence.now)
        total += ledger.accounted
    return total, found


def _twice(logs: Sequence[Log]) -> Iterator[str]:
    seen: dict[tuple[int, datetime, str], int] = {}
    for log in logs:
        first = seen.setdefault((log.jobid, log.scheduledfor, log.cause), log.logid)
        if first != log.logid:
            yield f"doubled: logs {first} and {log.logid} are one occurrence"


def _grids(made: Made, changes: Sequence[Change]) -> list[Grid]:
    """The schedules that held, one after the other."""
    seconds, since = made.interval, made.start - TICK
    grids = []
    for change in changes:
        if change.action != "edited" or "validfrom" not in change.after:
            continue
        validfrom = datetime.fromisoformat(change.after["validfrom"])
        grids.append(Grid(made.start, timedelta(seconds=seconds), since, validfrom))
        # An edit before the start moves nothing.
        since, seconds = max(since, validfrom), change.after.get("interval", seconds)
    return [*grids, Grid(made.start, timedelta(seconds=seconds), since, None)]


class _Ledger:
    """The rows of one job that its schedule wrote, in order."""

    def __init__(self, made: Made, logs: Sequence[Log]) -> None:
        self._made = made
        self._logs = logs
        self.accounted = 0

    def check(self, grids: Sequence[Grid], now: datetime) -> Iterator[str]:
        following = 0
        for grid in grids:
            following = grid.count(grid.since)
            for log in self._logs:
                if grid.holds(log.scheduledfor) and not log.is_promise:
                    said, following = self._row(grid, log, following)
                    yield from said
            if grid.to is not None and (lost := grid.count(grid.to) - following) > 0:
                yield self._say(f"lost: {lost} up to its edit at {grid.to}")
        last = grids[-1]
        if (lost := last.count(now - SLACK) - following) > 0:
            yield self._say(f"lost: {lost} up to the end, from {last.start + following * last.interval}")
        yield from self._promise(last.start + following * last.interval)

    def _row(self, grid: Grid, log: Log, following: int) -> tuple[list[str], int]:
        first, last = grid.number(log.scheduledfor), grid.number(log.through or log.scheduledfor)
        if first is None or last is None:
            return [
                self._say(f"stray: log {log.logid} of {log.scheduledfor} is not on the schedule")
            ], following
        said = []
        if first > following:
            said.append(self._say(f"lost: {first - following} before log {log.logid} of {log.scheduledfor}"))
        if first < following:
            said.append(self._say(f"doubled: log {log.logid} of {log.scheduledfor} was accounted for before"))
        if last - first != log.missed:
            said.append(self._say(f"miscounted: log {log.logid} missed {log.missed}, not {last - first}"))
        if log.through is not None and not grid.holds(log.through):
            said.append(self._say(f"doubled: log {log.logid} reaches past an edit, to {log.through}"))
        if self._made.misfire == "all" and log.status == "finished" and log.missed:
            said.append(
                self._say(f"lost: log {log.logid} stands for {log.missed} that were to run one by one")
            )
        self.accounted += log.missed + 1
        return said, max(following, last + 1)

    def _promise(self, expected: datetime) -> Iterator[str]:
        promised = [log.scheduledfor for log in self._logs if log.is_promise]
        promised += [log.following for log in self._logs if log.following is not None]
        if promised != [expected]:
            yield self._say(f"promise: {[str(instant) for instant in promised]} and not {expected}")

    def _say(self, sentence: str) -> str:
        kind, _, rest = sentence.partition(": ")
        return f"{kind}: job {self._made.jobid}: {rest}"
