"""Whether the ledger accounts for each occurrence exactly once, by arithmetic on what authors wrote."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tests.chaos.calm import Clock
from tests.chaos.cases import Case
from tests.chaos.evidence import Log

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


def twice(logs: Sequence[Log]) -> Iterator[str]:
    """Rows that stand for one and the same occurrence."""
    seen: dict[tuple[int, datetime, str], int] = {}
    for log in logs:
        first = seen.setdefault((log.jobid, log.scheduledfor, log.cause), log.logid)
        if first != log.logid:
            yield f"doubled: logs {first} and {log.logid} are one occurrence"


def grids(case: Case) -> list[Grid]:
    """The schedules that held, one after the other; the last one until the job was deleted."""
    made = case.made
    found = [Grid(made.start, timedelta(seconds=made.interval), made.start - TICK, case.deletedat)]
    seconds = made.interval
    for change in case.changes:
        if change.action != "edited" or "validfrom" not in change.after:
            continue
        validfrom = datetime.fromisoformat(change.after["validfrom"])
        seconds = change.after.get("interval", seconds)
        before = found[-1]
        # An edit before the start moves nothing.
        after = Grid(made.start, timedelta(seconds=seconds), max(before.since, validfrom), case.deletedat)
        ends = [datetime.fromisoformat(end) for end in change.after.get("kept", ())]
        # Its own word for what was due still, but not for what both schedules call for.
        kept = tuple(
            instant
            for first, last in zip(ends[::2], ends[1::2], strict=True)
            for instant in before.common(after, first, min(last, validfrom))
        )
        found[-1:] = [before._replace(to=validfrom, given=kept), after._replace(kept=kept)]
    return found


def can_be_judged(case: Case, clock: Clock) -> bool:
    """Whether it is known which schedule held when, and what it called for.

    Not where it was edited while the clock was wrong; nor where a job that has run as often as it may was put
    right then: what it ran once more is missing in the end.
    """
    return not any(
        clock.is_false(change.at) or clock.is_repeated(change.at)
        for change in case.changes
        if "validfrom" in change.after
        or change.action == "deleted"
        or (change.action == "repaired" and case.is_completed)
    )


class Coverage:
    """What the rows of one job that its schedule wrote account for."""

    def __init__(self, case: Case, clock: Clock, slack: timedelta) -> None:
        self._case = case
        self._clock = clock
        self._slack = slack
        self.accounted = 0

    def check(self, now: datetime) -> Iterator[str]:
        """Everything that is lost, doubled or astray."""
        following = 0
        *earlier, last = grids(self._case)
        for grid in [*earlier, last]:
            following = 0
            for log in self._case.logs:
                if grid.holds(log.scheduledfor) and not log.is_promise:
                    said, following = self._row(grid, log, following)
                    yield from said
            if grid.to is not None and self._goes_on and (lost := grid.count(grid.to) - following) > 0:
                yield self._say(f"lost: {lost} up to its edit or deletion at {grid.to}")
        if last.to is None and self._goes_on and (lost := last.count(now - self._slack) - following) > 0:
            yield self._say(f"lost: {lost} up to the end, from {last.at(following)}")
        yield from self._future(last, following, now)

    @property
    def _goes_on(self) -> bool:
        return not self._case.is_completed

    def _row(self, grid: Grid, log: Log, following: int) -> tuple[list[str], int]:
        first, last = grid.number(log.scheduledfor), grid.number(log.through or log.scheduledfor)
        if first is None or last is None:
            return [
                self._say(f"stray: log {log.logid} of {log.scheduledfor} is not on the schedule")
            ], following
        said = []
        if last - first != log.missed:
            said.append(self._say(f"miscounted: log {log.logid} missed {log.missed}, not {last - first}"))
        settled = self._case.settled(log)
        if settled is not None and self._clock.misled(settled, log.scheduledfor):
            # What lies further ahead is still to be accounted for.
            reach = grid.count(self._clock.trusted_until(settled, self._case.pauses))
            return said, max(following, min(last + 1, reach))
        self.accounted += log.missed + 1
        if first > following:
            said.append(self._say(f"lost: {first - following} before log {log.logid} of {log.scheduledfor}"))
        if first < following and not self._clock.is_repeated(log.scheduledfor):
            said.append(self._say(f"doubled: log {log.logid} of {log.scheduledfor} was accounted for before"))
        if log.through is not None and not grid.holds(log.through):
            said.append(self._say(f"doubled: log {log.logid} reaches past an edit, to {log.through}"))
        return said, max(following, last + 1)

    def _future(self, grid: Grid, following: int, now: datetime) -> Iterator[str]:
        """There is one row that carries the job's future, if it has one, and none otherwise."""
        logs = self._case.logs
        carried = [log.scheduledfor for log in logs if log.is_promise]
        carried += [log.following for log in logs if log.following is not None]
        expected = [grid.at(following)] if self._goes_on and grid.to is None else []
        if carried == expected:
            return
        if expected and len(carried) == 1 and self._clock.was_wrong and grid.number(carried[0]) is not None:
            # What a wrong clock has shown may have been accounted for already.
            if carried[0] > max(expected[0], grid.at(grid.count(now))) + self._slack:
                yield self._say(f"asleep: its next run is that of {carried[0]}, at {now}")
            return
        yield self._say(
            f"promise: {[str(instant) for instant in carried]} and not {list(map(str, expected))}"
        )

    def _say(self, sentence: str) -> str:
        kind, _, rest = sentence.partition(": ")
        return f"{kind}: job {self._case.made.jobid}: {rest}"
