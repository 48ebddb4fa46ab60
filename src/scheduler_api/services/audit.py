"""The ledger against the schedule: every expected occurrence is accounted for, once.

What is expected is computed anew from the definition and its edits, by counting; what is there is read
many rows at once, and row by row where they are not exactly what comes next. Occurrences that may run and
those that the schedule keeps from running are walked apart, as their rows overlap: a catch-up run stands for
those on both sides of a holiday.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from time import monotonic
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.computing import QUESTIONS
from scheduler_api.contracts import Finding, JobCheck
from scheduler_api.database import chains, coverage, jobs, ledger, promises
from scheduler_api.errors import ScheduleUnusable
from scheduler_api.schedule import Bar, Budget, Schedule, instant_at
from scheduler_api.services.past import Past, Version, past_of

END = datetime(9999, 1, 1, tzinfo=UTC)
#: Jobs and rows read at once, rows looked at one by one, findings told.
BATCH, SINGLE, MOST_FINDINGS = 5000, 1000, 100
#: How many further occurrences such rows may stand for, to be looked at all at once.
MOST_SPANNED = 50_000
BARRED = {str(bar) for bar in Bar}
TICK = datetime.resolution


async def check_job(session: AsyncSession, jobid: int, seconds: float = inf) -> JobCheck:
    """Compare one job's ledger with what was expected of it, for about so many seconds.

    Raises JobNotFound, ServiceBusy.
    """
    past = await past_of(session, jobid)
    report = _Report(jobid, monotonic() + seconds)
    for version in past.versions:
        try:
            schedule = version.schedule
        except ScheduleUnusable as error:
            report.find("invariant", version.since, 1, str(error))
            continue
        await _check_version(session, past, version, schedule, report)
    await _check_state(session, past.job, report)
    return report.result()


async def jobids(session: AsyncSession, after: int) -> list[int]:
    """The ids of some jobs above `after`, in order; deleted ones among them."""
    return await jobs.ids(session, after, BATCH)


async def count_jobs(session: AsyncSession) -> int:
    """How many jobs there are, deleted ones too."""
    return await jobs.count(session)


class _Report:
    def __init__(self, jobid: int, give_up: float) -> None:
        self._jobid, self._give_up = jobid, give_up
        self._is_complete = True
        self._counts = dict.fromkeys(("hole", "double", "stray", "miscount", "invariant"), 0)
        self._findings: list[Finding] = []
        self.expected = self.accounted = self.rows = 0

    def has_time(self) -> bool:
        """Whether there is time to look further; if not, it is told."""
        self._is_complete = self._is_complete and monotonic() < self._give_up
        return self._is_complete

    def cut_short(self) -> None:
        """It takes too long."""
        self._is_complete = False

    def count(self, occurrences: int, rows: int) -> None:
        """So many, all expected and all accounted for."""
        self.expected += occurrences
        self.accounted += occurrences
        self.rows += rows

    def find(self, kind: str, at: datetime | None, count: int, detail: str) -> None:
        self._counts[kind] += count
        if len(self._findings) < MOST_FINDINGS:
            self._findings.append(Finding(kind=kind, at=at, count=count, detail=detail))

    def result(self) -> JobCheck:
        return JobCheck(
            jobid=self._jobid,
            clean=not any(self._counts.values()),
            expected=self.expected,
            accounted=self.accounted,
            rows=self.rows,
            holes=self._counts["hole"],
            doubles=self._counts["double"],
            strays=self._counts["stray"],
            miscounts=self._counts["miscount"],
            invariants=self._counts["invariant"],
            findings=self._findings,
            complete=self._is_complete,
        )


@dataclass
class _Walk:
    """How far one schedule's time has been walked: the last occurrences accounted for, free and barred."""

    schedule: Schedule
    cursor: dict[bool, datetime]
    newest: Mapping[str, Any] | None = None
    """The last row on the schedule: its runs and its status."""


async def _check_version(
    session: AsyncSession, past: Past, version: Version, schedule: Schedule, report: _Report
) -> None:
    """Walk one schedule's time, many rows at once, and one by one where something is remarkable."""
    jobid, after, before = past.job["jobid"], version.since, _end(past.job, version)
    walk = _Walk(schedule, {False: version.since, True: version.since})
    while report.has_time():
        part = await coverage.part(session, jobid, after, before, sorted(BARRED), BATCH)
        if not part["rows"]:
            break
        if await QUESTIONS.compute(_is_unremarkable, walk, part):
            report.count(part["rows"] + part["missed"], part["rows"])
        else:
            await _check_singly(session, jobid, (after, part["last"] + TICK), walk, report)
        after = part["last"]
    if not report.has_time() or _has_ended(past.job, version, walk.newest):
        return
    for is_barred in (False, True):
        _check_rest(schedule, is_barred, walk.cursor[is_barred], before, report)


def _is_unremarkable(_: Budget, walk: _Walk, part: Mapping[str, Any]) -> bool:
    """Whether each row of a part accounts for exactly what comes next; then the walk has gone over them."""
    firsts, lasts, misses = part["firsts"], part["lasts"], part["misses"]
    barred = part["barred"] or [False] * len(firsts)
    reached: dict[bool, datetime] = {}
    for kind in {*barred}:
        mine = [n for n, one in enumerate(barred) if one == kind] if part["barred"] else range(len(firsts))
        end = instant_at((lasts or firsts)[mine[-1]]) + TICK
        since = walk.cursor[kind] + TICK
        if walk.schedule.count_between(since, end) > len(firsts) + MOST_SPANNED:
            return False
        grid = walk.schedule.ticks_that(since, end, are_barred=kind)
        if lasts is None:
            is_clean = grid == [firsts[n] for n in mine]
        else:
            is_clean = _follow(grid, ((firsts[n], lasts[n], misses[n]) for n in mine))
        if not is_clean:
            return False
        reached[kind] = end - TICK
    walk.cursor |= reached
    walk.newest = part
    return True


def _follow(grid: Sequence[int], rows: Iterable[tuple[int, int, int]]) -> bool:
    """Whether rows (first, last, how many further ones) cover a grid, from its first to its last."""
    at = 0
    for first, last, missed in rows:
        end = at + missed
        if end >= len(grid) or grid[at] != first or grid[end] != last:
            return False
        at = end + 1
    return at == len(grid)


async def _check_singly(
    session: AsyncSession, jobid: int, span: tuple[datetime, datetime], walk: _Walk, report: _Report
) -> None:
    after, before = span
    while found := await ledger.coverage(session, jobid, after, before, SINGLE):
        await QUESTIONS.compute(_check_rows, walk, found, report)
        after = found[-1]["scheduledfor"]


def _check_rows(budget: Budget, walk: _Walk, rows: Sequence[Mapping[str, Any]], report: _Report) -> None:
    schedule, cursor = walk.schedule, walk.cursor
    for row in budget.within(rows):
        is_barred = row["reason"] in BARRED
        if not schedule.calls_for(row["scheduledfor"]) or _is_barred(schedule, row) != is_barred:
            report.find("stray", row["scheduledfor"], 1, f"Log {row['logid']} is not on the schedule.")
            continue
        report.rows += 1
        _check_row(schedule, row, is_barred, cursor[is_barred], report)
        cursor[is_barred] = max(cursor[is_barred], row["through"] or row["scheduledfor"])
        walk.newest = row
    if budget.is_spent:
        report.cut_short()


def _check_row(
    schedule: Schedule, row: Mapping[str, Any], is_barred: bool, cursor: datetime, report: _Report
) -> None:
    first, last = row["scheduledfor"], row["through"] or row["scheduledfor"]
    if first <= cursor:
        report.find("double", first, 1, f"Log {row['logid']} tells of what an earlier one accounts for.")
        return
    lost = schedule.counts(cursor + TICK, first)[is_barred]
    if lost:
        report.find("hole", _first_of(schedule, cursor, is_barred), lost, "No log accounts for them.")
    stands_for = schedule.counts(first, last + TICK)[is_barred]
    if stands_for != row["missed"] + 1:
        said = f"Log {row['logid']} says that it stands for {row['missed'] + 1}, but there are {stands_for}."
        report.find("miscount", first, 1, said)
    report.expected += lost + stands_for
    report.accounted += stands_for


def _check_rest(
    schedule: Schedule, is_barred: bool, cursor: datetime, before: datetime, report: _Report
) -> None:
    """Nothing may be left between the last row and what is still open."""
    if schedule.next_after(cursor) is None:
        return
    if before == END:
        if not is_barred:
            report.find("invariant", schedule.next_after(cursor), 1, "It is completed, but goes on.")
        return
    lost = schedule.counts(cursor + TICK, before)[is_barred]
    if lost:
        report.expected += lost
        report.find("hole", _first_of(schedule, cursor, is_barred), lost, "No log accounts for them.")


def _end(job: Mapping[str, Any], version: Version) -> datetime:
    """The first instant that the ledger need not account for under a version."""
    if version.to is not None:
        return version.to + TICK
    first: datetime | None = job["promised"] or job["resumefrom"]
    if first is not None:
        return max(first, version.since)
    if job["state"] == "deleted":
        deleted: datetime = job["deletedat"]
        return deleted + TICK
    if job["state"] == "paused":
        return version.since + TICK
    return END


def _has_ended(job: Mapping[str, Any], version: Version, newest: Mapping[str, Any] | None) -> bool:
    """Whether a job's schedule ended before its time: by maxruns, or as it could not go on."""
    if job["active"] and job["promised"] is None:
        # Where it goes on is unknown; that nothing is promised is told by itself.
        return version.to is None
    if newest is None or (version.to is None and job["state"] != "completed"):
        return False
    spent = version.maxruns is not None and newest["runs"] >= version.maxruns
    return spent or bool(newest["status"] == "failed")


def _is_barred(schedule: Schedule, row: Mapping[str, Any]) -> bool:
    return schedule.bar(row["scheduledfor"]) is not None


def _first_of(schedule: Schedule, after: datetime, is_barred: bool) -> datetime | None:
    """The first free, or barred, occurrence after an instant."""
    first = schedule.next_after(after)
    if first is None or not is_barred:
        return first and schedule.first_free(first)
    while first is not None and schedule.bar(first) is None:
        first = schedule.next_after(next(schedule.spans(first, END)).last)
    return first


async def _check_state(session: AsyncSession, job: Mapping[str, Any], report: _Report) -> None:
    if job["after"] is not None:
        lost = await chains.lost(session, job["jobid"])
        if lost["count"]:
            report.expected += lost["count"]
            report.find(
                "hole", lost["first"], lost["count"], "It should have run after another job, and did not."
            )
    elif job["active"] and job["promised"] is None and not await promises.live(session, job["jobid"]):
        report.find("invariant", None, 1, "It is active, but nothing is promised.")
    if not job["active"] and job["promised"] is not None:
        report.find("invariant", job["promised"], 1, f"It is {job['state']}, but a run is promised.")
