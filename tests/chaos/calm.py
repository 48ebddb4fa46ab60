"""How much of a stretch of time nothing but the service itself explains."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import MAXYEAR, datetime, timedelta
from typing import NamedTuple, Self

from tests.chaos.evidence import Fault

#: Within this the service finds and mends what waits for an instant that a wrong clock has shown: by a lease
#: that runs out, and a search. On a busy machine all has more time, as the aftermath of a fault says.
REPAIR, PER_AFTERMATH = timedelta(seconds=75), 15
#: An instant that a wrong clock shows is recorded by a transaction that began a little before or ends later.
BLUR = timedelta(seconds=1)
NOTHING = timedelta()


class Span(NamedTuple):
    """From an instant to another."""

    since: datetime
    to: datetime


class Calm:
    """Measures the time outside of certain spans."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans = merged(spans)
        self._ends = [span.to for span in self._spans]

    def between(self, since: datetime, to: datetime) -> timedelta:
        """How much time outside of the spans there is from one instant to another."""
        left = max(to - since, NOTHING)
        for span in self._spans[bisect_left(self._ends, since) :]:
            if span.since >= to:
                break
            left -= max(min(span.to, to) - max(span.since, since), NOTHING)
        return left

    def touches(self, since: datetime, to: datetime) -> bool:
        """Whether a span overlaps the time from one instant to another."""
        index = bisect_left(self._ends, since)
        return index < len(self._spans) and self._spans[index].since <= to

    def but(self, further: Iterable[Span]) -> "Calm":
        """The same, outside of further spans, too."""
        return Calm([*self._spans, *further])


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that do not touch each other, in order."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.since <= found[-1].to:
            found[-1] = Span(found[-1].since, max(found[-1].to, span.to))
        elif span.to >= span.since:
            found.append(span)
    return found


class Blame(NamedTuple):
    """What was done, by whom it may hold up."""

    everybody: Calm
    """Outside of what struck all."""
    calling: Calm
    """Outside of what struck all, and all that call something."""
    replicas: dict[str, list[Span]]
    jobs: dict[int, list[Span]]

    @classmethod
    def of(cls, faults: Sequence[Fault]) -> Self:
        """Sort the faults by whom they struck."""
        everybody: list[Span] = []
        calling: list[Span] = []
        replicas: dict[str, list[Span]] = {}
        jobs: dict[int, list[Span]] = {}
        for fault in faults:
            span = _span(fault)
            if fault.replica is not None:
                replicas.setdefault(fault.replica, []).append(span)
            elif fault.jobid is not None:
                jobs.setdefault(fault.jobid, []).append(span)
            else:
                (calling if fault.calls else everybody).append(span)
        return cls(Calm(everybody), Calm(everybody + calling), replicas, jobs)


def _span(fault: Fault) -> Span:
    """By the database's clock, which may have been wrong meanwhile."""
    offset = timedelta(seconds=fault.offset)
    return Span(fault.since + min(offset, NOTHING), fault.ends + min(abs(offset), REPAIR))


class Clock:
    """What the database's clock showed that it should not have."""

    def __init__(self, steps: Iterable[Fault]) -> None:
        self._steps = [(fault, timedelta(seconds=fault.offset)) for fault in steps]

    @property
    def was_wrong(self) -> bool:
        """Whether it ever was."""
        return bool(self._steps)

    def is_false(self, instant: datetime) -> bool:
        """Whether an instant that was recorded may be one that a wrong clock showed."""
        return any(f.since + o - BLUR <= instant <= f.to + o + BLUR for f, o in self._steps)

    def misled(self, settled: datetime, occurrence: datetime) -> bool:
        """Whether what was decided then about an occurrence rests on a wrong clock."""
        return self.is_false(settled) or (self.was_wrong and occurrence > settled)

    def is_repeated(self, instant: datetime) -> bool:
        """Whether the clock came to an instant twice."""
        return any(self._back(f, o) - BLUR <= instant <= self._before(f, o) + BLUR for f, o in self._steps)

    def trusted_until(self, instant: datetime, pauses: Iterable[Span] = ()) -> datetime:
        """How far what was decided at a false instant may reach: until the service has found out.

        It does not look at jobs while they are paused.
        """
        limits = [
            (fault.to, max(REPAIR, timedelta(seconds=PER_AFTERMATH * fault.aftermath)))
            for fault, offset in self._steps
            if fault.since + offset - BLUR <= instant <= fault.to + offset + BLUR
        ]
        if not limits:
            return instant
        right, repair = min(limits)
        limit = right + repair
        for pause in pauses:
            if self._earliest(pause.since) < limit:
                if pause.to.year == MAXYEAR:
                    return pause.to
                limit = max(limit, pause.to + repair)
        return limit

    def _earliest(self, recorded: datetime) -> datetime:
        """When it may have been in truth, by a clock that was ahead."""
        shown = [
            recorded - offset
            for fault, offset in self._steps
            if fault.since + offset - BLUR <= recorded <= fault.to + offset + BLUR
        ]
        return min([recorded, *shown])

    def ahead(self, instant: datetime) -> timedelta:
        """By how much more the clock may have shown shortly before: what was due then still runs."""
        ahead = [offset for fault, offset in self._steps if fault.since - BLUR <= instant <= fault.ends]
        ahead += [
            -offset
            for fault, offset in self._steps
            if fault.since + offset - BLUR <= instant <= fault.to + offset + BLUR
        ]
        return max([NOTHING, *ahead])

    @staticmethod
    def _back(fault: Fault, offset: timedelta) -> datetime:
        """What it showed right after it had been set back."""
        return fault.to if offset > NOTHING else fault.since + offset

    @staticmethod
    def _before(fault: Fault, offset: timedelta) -> datetime:
        """What it showed right before it was set back."""
        return fault.to + offset if offset > NOTHING else fault.since
