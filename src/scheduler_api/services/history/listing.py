"""Runs in the order in which they ended, by how long they took, or in which they are due."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

from scheduler_api.contracts.runs.logs import Log, LogSort, LogStatus
from scheduler_api.database.runs import lists, ordered
from scheduler_api.database.runs.lists import LogFilter
from scheduler_api.database.runs.logs import LogRow
from scheduler_api.database.runs.ordered import Found, ListOrder, RunPlace
from scheduler_api.database.statements import Session
from scheduler_api.schedule.days import BEGINNING
from scheduler_api.schedule.parts import END
from scheduler_api.services.jobs import reading
from scheduler_api.services.jobs.reading import FoundLogs
from scheduler_api.services.system import health

#: Where more runs ended within a stretch of time, a part of it is looked at; the shortest as it is.
DENSE, SHORTEST = 20_000, timedelta(milliseconds=100)
#: The first stretch is short, and each is so many times as long as the one after it.
FIRST, WIDER, NARROWER = timedelta(minutes=1), 60, 8
#: Up to so many runs that were looked at, the search may take so many times as long.
FEW, PATIENT = 1000, 10
#: No run ended before it.
FLOOR = datetime(1970, 1, 1, tzinfo=UTC)
#: What ended later than now did so by a clock that was ahead.
NEWEST = RunPlace(END, 0)
#: The slowest are looked for among so many.
COMPARED = 20_000


async def find_runs(session: Session, wanted: LogFilter, order: ListOrder, limit: int) -> FoundLogs:
    """Up to `limit` runs in an order, from its place on; fewer where it takes too long to find more.

    By when they ended, or how long they took, those in progress come first. The slowest are those among the
    newest 20,000 or so, and no place comes after them.
    """
    sort, after = order.sort, order.after
    if await lists.are_of_none(session, wanted):
        return FoundLogs([])
    if sort is LogSort.LOGID:
        return await reading.find_logs(session, wanted._replace(before=order.before), limit)
    if sort is LogSort.NEXTRUN:
        return await _due(session, wanted, after or RunPlace(BEGINNING, 0), limit)
    now = await health.clock(session)
    started = await _started(session, wanted, limit) if after is None else []
    place, left = after or NEWEST, limit - len(started)
    found = await _ended(session, now, wanted, place, left, slowest=sort is LogSort.DURATION)
    return found._replace(logs=[*started, *found.logs])


async def count_runs(session: Session, wanted: LogFilter, sort: LogSort, most: int) -> int:
    """How many runs such a list has, up to `most`."""
    if await lists.are_of_none(session, wanted):
        return 0
    if sort in {LogSort.ENDED, LogSort.DURATION}:
        return min(most, await ordered.count_ended(session, wanted, most))
    if sort is LogSort.NEXTRUN:
        wanted = wanted._replace(status=LogStatus.PENDING.value)
    return await reading.count_logs(session, wanted, most)


async def _started(session: Session, wanted: LogFilter, limit: int) -> list[Log]:
    if wanted.status not in {None, LogStatus.RUNNING}:
        return []
    return await reading.list_logs(session, wanted._replace(status=LogStatus.RUNNING.value), limit)


@dataclass
class _Stretch:
    """A stretch of time before a place, and what is known of the runs that ended before that."""

    place: RunPlace
    length: timedelta
    tip: datetime = FLOOR
    """One of them ended then."""
    whole: datetime = FLOOR
    """From then on all are looked at, however many there are."""

    @classmethod
    def first(cls, place: RunPlace, now: datetime) -> "_Stretch":
        """What is later than now in any case."""
        reach = place.at - now if place.at > now else (now - place.at) / WIDER
        return cls(place, max(FIRST, reach))

    @property
    def since(self) -> datetime:
        return self.place.at - min(self.length, self.place.at - FLOOR)

    @property
    def among(self) -> int | None:
        return DENSE if self.length > SHORTEST and self.since != self.whole else None

    def narrow(self, newest: datetime) -> None:
        """Look at less: very many runs ended in it, and the newest of those that were looked at then."""
        self.tip = newest
        if newest == self.since:
            self.whole = newest
        elif self.place == NEWEST:
            # How far a clock was ahead, only what ended by it tells.
            self.length = self.place.at - newest
        else:
            self.length /= NARROWER

    def go_back(self) -> None:
        """Go on with what is before it: a longer one, but not beyond where runs are known to be."""
        since = self.since
        self.length = FIRST if self.place == NEWEST else self.length * WIDER
        if FLOOR < self.tip < since:
            self.length = min(self.length, since - self.tip)
        self.place = RunPlace(since, 0)


async def _ended(
    session: Session, now: datetime, wanted: LogFilter, place: RunPlace, limit: int, *, slowest: bool
) -> FoundLogs:
    """Goes back in time from stretch to stretch, longer ones where few runs ended."""
    give_up = monotonic() + reading.SEARCH_SECONDS
    rows, compared = list[LogRow](), 0
    stretch = _Stretch.first(place, now)
    while stretch.place.at > FLOOR:
        since, among = stretch.since, stretch.among
        most = limit + 1 if slowest else limit + 1 - len(rows)
        found = await ordered.ended(session, wanted, since, stretch.place, among, most, slowest=slowest)
        if found.looked_at == among and found.at is not None:
            stretch.narrow(found.at)
            continue
        rows += await _rows(session, found)
        compared += found.looked_at
        stretch.go_back()
        if rows[limit:] and not slowest:
            last = RunPlace(_end(rows[limit - 1]), rows[limit - 1].logid) if limit else _before(rows[0])
            return FoundLogs(await reading.logs_of(rows[:limit]), last)
        if compared >= COMPARED and slowest:
            break
        # A look where there is little costs next to nothing.
        if monotonic() > give_up + (0 if compared > FEW else reading.SEARCH_SECONDS * PATIENT):
            break
    place = stretch.place
    is_whole = place.at <= FLOOR
    if slowest:
        rows = sorted(rows, key=_took, reverse=True)[:limit]
    logs = await reading.logs_of(rows)
    return FoundLogs(logs, None if is_whole or slowest else place, None if is_whole else place.at)


async def _due(session: Session, wanted: LogFilter, place: RunPlace, limit: int) -> FoundLogs:
    rows = list[LogRow]()
    give_up = monotonic() + reading.SEARCH_SECONDS
    while True:
        found = await ordered.due(session, wanted, place, reading.SEARCHED, limit + 1 - len(rows))
        rows += await _rows(session, found)
        if rows[limit:]:
            last = rows[limit - 1]
            assert last.nextrun is not None
            return FoundLogs(await reading.logs_of(rows[:limit]), RunPlace(last.nextrun, last.logid))
        if found.looked_at < reading.SEARCHED or found.at is None or found.last is None:
            return FoundLogs(await reading.logs_of(rows))
        place = RunPlace(found.at, found.last)
        if monotonic() > give_up:
            return FoundLogs(await reading.logs_of(rows), place, place.at)


async def _rows(session: Session, found: Found) -> list[LogRow]:
    """What was found, in order; without those that are gone by now."""
    rows = {row.logid: row for row in await lists.of_ids(session, found)}
    return [rows[logid] for logid in found.logids if logid in rows]


def _end(row: LogRow) -> datetime:
    """When a run ended, that was found by it."""
    assert row.finishedat is not None
    return row.finishedat


def _before(row: LogRow) -> RunPlace:
    """The place that a run comes next to."""
    return RunPlace(_end(row) + timedelta(microseconds=1), 0)


def _took(row: LogRow) -> timedelta:
    if row.startedat is None or row.finishedat is None:
        return timedelta(-1)
    return row.finishedat - row.startedat
