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
    """`start`, and every `interval` after it: the occurrences after `since` up to `to`, and some others."""

    start: datetime
    interval: timedelta
    since: datetime
    to: datetime | None
    kept: tuple[datetime, ...] = ()
    """Occurrences up to `since` that were due at the edit, and that both schedules call for."""
    given: tuple[datetime, ...] = ()
    """Those that the schedule after it has kept."""

    def count(self, instant: datetime) -> int:
        """How many occurrences there are up to an instant, which counts: the number of the next one."""
        later = max(0, self._steps(instant) - self._steps(self.since))
        return later + sum(one <= instant for one in self.kept) - sum(one <= instant for one in self.given)

    def number(self, instant: datetime) -> int | None:
        """Which occurrence an instant is, from 0; None: none."""
        is_its_own = instant in self.kept or (instant > self.since and self.is_on(instant))
        return self.count(instant) - 1 if is_its_own and instant not in self.given else None

    def at(self, number: int) -> datetime:
        """The occurrence of a number, where none was given away."""
        if number < len(self.kept):
            return self.kept[number]
        return self.start + (self._steps(self.since) + number - len(self.kept)) * self.interval

    def is_on(self, instant: datetime) -> bool:
        """Whether an instant lies on the grid, whenever that holds."""
        return instant >= self.start and not (instant - self.start) % self.interval

    def holds(self, instant: datetime) -> bool:
        """Whether the schedule was in force at an instant."""
        inside = self.since < instant and (self.to is None or instant <= self.to)
        return (inside or instant in self.kept) and instant not in self.given

    def common(self, other: "Grid", first: datetime, last: datetime) -> tuple[datetime, ...]:
        """The occurrences of this one, from `first` to `last`, that lie on the other one, too."""
        found = []
        instant = self.start + max(0, self._steps(first) - 1) * self.interval
        while instant <= last:
            if instant >= first and self.number(instant) is not None and other.is_on(instant):
                found.append(instant)
            instant += self.interval
        return tuple(found)

    def _steps(self, instant: datetime) -> int:
        return 0 if instant < self.start else (instant - self.start) // self.interval + 1


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
    grids = [Grid(made.start, timedelta(seconds=made.interval), made.start - TICK, None)]
    seconds = made.interval
    for change in changes:
        if change.action != "edited" or "validfrom" not in change.after:
            continue
        validfrom = datetime.fromisoformat(change.after["validfrom"])
        seconds = change.after.get("interval", seconds)
        before = grids[-1]
        # An edit before the start moves nothing.
        after = Grid(made.start, timedelta(seconds=seconds), max(before.since, validfrom), None)
        ends = [datetime.fromisoformat(end) for end in change.after.get("kept", ())]
        # Its own word for what was due still, but not for what both schedules call for.
        kept = tuple(
            instant
            for first, last in zip(ends[::2], ends[1::2], strict=True)
            for instant in before.common(after, first, min(last, validfrom))
        )
        grids[-1:] = [before._replace(to=validfrom, given=kept), after._replace(kept=kept)]
    return grids


class _Ledger:
    """The rows of one job that its schedule wrote, in order."""

    def __init__(self, made: Made, logs: Sequence[Log]) -> None:
        self._made = made
        self._logs = logs
        self.accounted = 0

    def check(self, grids: Sequence[Grid], now: datetime) -> Iterator[str]:
        following = 0
        for grid in grids:
            following = 0
            for log in self._logs:
                if grid.holds(log.scheduledfor) and not log.is_promise:
                    said, following = self._row(grid, log, following)
                    yield from said
            if grid.to is not None and (lost := grid.count(grid.to) - following) > 0:
                yield self._say(f"lost: {lost} up to its edit at {grid.to}")
        last = grids[-1]
        if (lost := last.count(now - SLACK) - following) > 0:
            yield self._say(f"lost: {lost} up to the end, from {last.at(following)}")
        yield from self._promise(last.at(following))

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
