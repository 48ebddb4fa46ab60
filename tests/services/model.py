"""What a job's ledger must say, by a plain dictionary of instants.

Written apart from the code under test: occurrences are found by looking at each minute of a few days,
and each of them is judged on its own, without arithmetic and without SQL.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache

MINUTE = timedelta(minutes=1)
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
MINUTES = [BEGIN + count * MINUTE for count in range(8 * 24 * 60)]
#: Time in the test never gets further than this, so that endless schedules always have a future.
LAST_NOW = BEGIN + timedelta(days=5)


@cache
def called(calls_for: Callable[[datetime], bool]) -> tuple[datetime, ...]:
    """The minutes that a schedule calls for: asked a thousand times in one step of a test."""
    return tuple(t for t in MINUTES if calls_for(t))


@dataclass(frozen=True)
class Rules:
    """A job's definition, as the model understands it."""

    calls_for: Callable[[datetime], bool]
    excluded: frozenset[date] = frozenset()
    until: datetime | None = None
    maxruns: int | None = None
    misfire: str = "once"
    grace: timedelta = MINUTE

    def occurrences(self) -> list[datetime]:
        return [t for t in called(self.calls_for) if self.until is None or t <= self.until]

    def calls(self, instant: datetime) -> bool:
        return self.calls_for(instant) and (self.until is None or instant <= self.until)

    def has_run_after(self, instant: datetime) -> bool:
        return any(t > instant and not self.is_blocked(t) for t in self.occurrences())

    def is_blocked(self, instant: datetime) -> bool:
        return instant.date() in self.excluded


@dataclass
class Model:
    """A job. `fates` says of each occurrence that is over what became of it."""

    rules: Rules
    since: datetime
    fates: dict[datetime, str] = field(default_factory=dict)
    kept: set[datetime] = field(default_factory=set)
    """Occurrences up to `since` that edits left."""
    ahead: list[list[datetime]] = field(default_factory=list)
    """What was skipped ahead of its time, as rows tell of it."""
    backfilled: set[datetime] = field(default_factory=set)
    state: str = "active"
    before: str = "active"
    """The state before it was deleted."""
    runs: int = 0
    manual: int = 0

    def open(self) -> list[datetime]:
        occurrences = self.rules.occurrences()
        return [t for t in occurrences if t not in self.fates and (t > self.since or t in self.kept)]

    def free(self) -> list[datetime]:
        return [t for t in self.open() if not self.rules.is_blocked(t)]

    def tick(self, now: datetime) -> None:
        """Run everything that is due."""
        while self.state == "active":
            first = min(self.open(), default=None)
            if first is None:
                self.state = "completed"
            elif self._tried(first) > now:
                return
            elif self.rules.is_blocked(first):
                self._write_off("excluded", (t for t in self._until_free(first) if t <= now))
            else:
                self._run(first, now)

    def _tried(self, first: datetime) -> datetime:
        return min((t for t in self.free() if t >= first), default=max(self.open()))

    def _until_free(self, first: datetime) -> Iterable[datetime]:
        for instant in self.open():
            if not self.rules.is_blocked(instant):
                return
            yield instant

    def _run(self, first: datetime, now: datetime) -> None:
        horizon = now - self.rules.grace
        if self.rules.until is not None and self.rules.until < horizon:
            self._write_off("until", self.open())
            return
        if self.rules.misfire == "skip" and first < horizon:
            self._write_off("misfire", (t for t in self.open() if t < horizon))
            return
        due = [t for t in self.open() if t <= now]
        if self.rules.misfire == "all" and len(due) > 1000:
            self._write_off("misfire", due[:-1000])
            return
        if self.rules.misfire == "once":
            self._write_off("counted", (t for t in self.open() if t <= now))
        self.fates[first] = "ran"
        self.runs += 1
        if self.runs == self.rules.maxruns:
            self.state = "completed"

    def _write_off(self, fate: str, instants: Iterable[datetime]) -> None:
        for instant in list(instants):
            self.fates[instant] = "excluded" if self.rules.is_blocked(instant) else fate

    def edit(self, rules: Rules, now: datetime, *, redefined: bool) -> None:
        """Another definition. What both call for stays; the new one calls for nothing else of the past."""
        if redefined:
            due = [t for t in self.open() if t <= now and self.state in {"active", "paused"}]
            kept = {t for t in due if rules.calls(t) and rules.is_blocked(t) == self.rules.is_blocked(t)}
            self._write_off("superseded", (t for t in due if t not in kept))
            self._forget(rules, now)
            self.since, self.kept = now, kept
            if self.state == "completed":
                self.state = "active"
        self.rules = rules

    def _forget(self, rules: Rules, now: datetime) -> None:
        """What was skipped ahead stays as long as the new schedule goes from one of it to the next."""
        left: list[list[datetime]] = []
        coming = iter([t for t in rules.occurrences() if t > now])
        rows = [[t for t in row if t > now] for row in self.ahead if self.state != "completed"]
        for row in filter(None, rows):
            same = [next(coming, None) for _ in row] == row
            fates = {"excluded" if rules.is_blocked(t) else "request" for t in row}
            if not same or fates != {self.fates[t] for t in row}:
                break
            left.append(row)
        stays = {t for row in left for t in row}
        self.fates = {t: fate for t, fate in self.fates.items() if t <= now or t in stays}
        self.ahead = left

    def bound(self, rules: Rules, now: datetime) -> None:
        """Another number of runs: a completed job that may run again does so from now on."""
        self.rules = rules
        latest = max([now, *self.fates])
        if self.state == "completed" and rules.maxruns != self.runs and rules.has_run_after(latest):
            self.since, self.kept, self.state = now, set(), "active"

    def pause(self) -> None:
        self.state = "paused"

    def resume(self, now: datetime, missed: str) -> None:
        if missed == "skip":
            self._write_off("paused", (t for t in self.open() if t <= now))
        elif self.rules.misfire == "skip":
            self._write_off("paused", (t for t in self.open() if t < now - self.rules.grace))
        self.state = "active" if self.open() else "completed"

    def skip(self, now: datetime) -> None:
        first = min(self.free())
        before = [t for t in self.open() if t < first]
        self._write_off("excluded", before)
        self.fates[first] = "request"
        self.ahead += [row for row in ([t for t in before if t > now], [first]) if row]
        if not self.open():
            self.state = "completed"

    def backfill(self, now: datetime, since: datetime, until: datetime, *, every: bool) -> None:
        for instant, fate in self.fates.items():
            inside = since <= instant < until and instant < now and fate != "excluded"
            if inside and (every or fate != "ran"):
                self.backfilled.add(instant)

    def delete(self, now: datetime) -> None:
        if self.state in {"active", "paused"}:
            self._write_off("deleted", (t for t in self.open() if t <= now))
        self.before, self.state = self.state, "deleted"

    def restore(self, now: datetime) -> None:
        """It goes on as it was, from now; what was to come of it meanwhile is written off."""
        if self.before == "completed" or not self.free():
            self.state = "completed"
            return
        self._write_off("deleted", (t for t in self.open() if t <= now))
        self.state = self.before if self.open() else "completed"
