"""The ledger against the schedule: every expected occurrence is accounted for, once.

What is expected is computed anew from the definition and its edits, by counting; what is there is read
many rows at once, and row by row where they are not exactly what comes next. Occurrences that may run and
those that the schedule keeps from running are walked apart, as their rows overlap: a catch-up run stands for
those on both sides of a holiday.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import inf
from time import monotonic
from typing import NamedTuple

from scheduler_api.computing import QUESTIONS
from scheduler_api.contracts.history.checks import JobCheck
from scheduler_api.database.jobs import chains, definitions
from scheduler_api.database.jobs.rows import JobRow
from scheduler_api.database.runs import attempts, coverage, logs, pending, tallies
from scheduler_api.database.runs.coverage import CoveredPart
from scheduler_api.database.runs.logs import LedgerRow
from scheduler_api.database.runs.tallies import Earlier
from scheduler_api.database.statements import Session
from scheduler_api.errors import ScheduleUnusable
from scheduler_api.schedule import END, TICK, Block, Budget, Reason, Schedule, holds, instant_at
from scheduler_api.schedule.days import Days
from scheduler_api.services.history.invariants import Findings, check_logs
from scheduler_api.services.history.versions import ScheduleVersions, Version, versions_of
from scheduler_api.services.jobs import planning

#: Jobs and rows read at once, and rows looked at one by one.
BATCH, SINGLE = 5000, 1000
#: How many further occurrences such rows may stand for, to be looked at all at once.
MAX_SPANNED = 50_000
BLOCKED = {str(block) for block in Block}


async def check_job(session: Session, jobid: int, seconds: float = inf, *, full: bool = False) -> JobCheck:
    """Compare one job's ledger with what was expected of it, for about so many seconds.

    Of days that are closed it tells what was found when they were, unless it is to be `full`: then all that
    is kept is compared. What it reads must be of one moment: of a run that ends meanwhile it would see
    neither the run nor its end. Raises JobNotFound, ServiceBusy.
    """
    versions = await versions_of(session, jobid)
    known = await tallies.frontier(session, jobid)
    days = Days(known.horizon if full else max(known.horizon, known.since))
    report = Findings(jobid, monotonic() + seconds)
    report.take_over(await tallies.closed_days(session, jobid, days.first))
    await compare(session, versions, days, report)
    await _check_state(session, versions.job, report)
    return report.result()


async def compare(session: Session, versions: ScheduleVersions, days: Days, report: Findings) -> None:
    """Compare what a job's rows account for on these days with what its schedules called for."""
    past = await _past(session, versions.job.jobid, days)
    for version in versions.all:
        if version.to is not None and version.to < days.since:
            continue
        try:
            schedule = version.own
        except ScheduleUnusable as error:
            report.find("invariant", max(version.since, days.since), 1, str(error))
            report.computed = False
            continue
        if version.within:
            await _check_version(session, versions, _begin(version, schedule, days, past), days, report)
    await check_logs(session, versions, days, 0 if past.earlier is None else past.earlier.runs, report)


class _Past(NamedTuple):
    """What is known of the days before those that are compared."""

    earlier: Earlier | None
    """How the schedule stood when they ended."""
    reaching: Sequence[LedgerRow]
    """Rows of theirs that tell of later occurrences, too."""


async def _past(session: Session, jobid: int, days: Days) -> _Past:
    if days.first == date.min:
        return _Past(None, ())
    earlier = await tallies.before(session, jobid, days.first)
    return _Past(earlier, await logs.reaching(session, jobid, days.since))


async def jobids(session: Session, after: int) -> list[int]:
    """The ids of some jobs above `after`, in order; deleted ones among them."""
    return await definitions.ids(session, after, BATCH)


async def count_jobs(session: Session) -> int:
    """How many jobs there are, deleted ones too."""
    return await definitions.count(session)


@dataclass
class _Walk:
    """How far one schedule's time has been walked: the last occurrences accounted for, free and blocked."""

    version: Version
    schedule: Schedule
    """What of it is its own."""
    cursor: dict[bool, datetime]
    newest: LedgerRow | CoveredPart | None = None
    """The last row on the schedule: its runs and its status."""
    earlier: Earlier | None = None
    """How it stood when the days that are walked began."""


async def _check_version(
    session: Session, versions: ScheduleVersions, walk: "_Walk", days: Days, report: Findings
) -> None:
    """Walk one schedule's time, many rows at once, and one by one where something is remarkable."""
    job, version, schedule = versions.job, walk.version, walk.schedule
    ends, goes_on = _end(job, version), job.goes_on
    before, after = min(ends, days.until), max(version.within[0].first, days.since) - TICK
    if days.go_on and version.to is None and goes_on is not None and not schedule.calls_for(goes_on):
        report.find("invariant", goes_on, 1, "What it is to go on with is not on its schedule.")
    while report.has_time():
        part = await coverage.part(session, job.jobid, after, before, sorted(BLOCKED), BATCH)
        if not part.rows:
            break
        if _may_be_unremarkable(version, part) and await QUESTIONS.compute(_is_unremarkable, walk, part):
            report.count(part.rows + part.missed, part.rows)
        else:
            await _check_singly(session, job.jobid, (after, part.last + TICK), walk, report)
        after = part.last
    if not report.has_time() or await _has_ended(session, job, walk):
        return
    for is_blocked in (False, True):
        _check_rest(job, walk, is_blocked, (before, ends == END), report)


def _begin(version: Version, schedule: Schedule, days: Days, past: _Past) -> "_Walk":
    """Where the walk over a schedule's time begins: behind what rows of the days before reach over."""
    begins = version.within[0].first
    start = max(begins, days.since) - TICK
    walk = _Walk(version, schedule, {False: start, True: start})
    if begins < days.since:
        walk.earlier = past.earlier
        for row in past.reaching:
            if holds(version.within, row.scheduledfor) and schedule.calls_for(row.scheduledfor):
                is_blocked = row.reason in BLOCKED
                walk.cursor[is_blocked] = max(walk.cursor[is_blocked], row.last)
    return walk


def _may_be_unremarkable(version: Version, part: CoveredPart) -> bool:
    """Whether all rows of a part are the schedule's own, and none of them can break a bound."""
    if version.kept or version.given or part.writtenoff:
        return False
    return version.maxruns is None or part.runs <= version.maxruns


def _is_unremarkable(_: Budget, walk: _Walk, part: CoveredPart) -> bool:
    """Whether each row of a part accounts for exactly what comes next; then the walk has gone over them."""
    firsts, lasts, misses = part.firsts, part.lasts, part.misses
    blocked = part.blocked or [False] * len(firsts)
    reached: dict[bool, datetime] = {}
    schedule = walk.version.schedule
    for kind in {*blocked}:
        mine = [n for n, one in enumerate(blocked) if one == kind] if part.blocked else range(len(firsts))
        end = instant_at((lasts or firsts)[mine[-1]]) + TICK
        since = walk.cursor[kind] + TICK
        if schedule.count_between(since, end) > len(firsts) + MAX_SPANNED:
            return False
        grid = schedule.ticks_that(since, end, are_blocked=kind)
        if lasts is None or misses is None:
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
    session: Session, jobid: int, span: tuple[datetime, datetime], walk: _Walk, report: Findings
) -> None:
    after, before = span
    while found := await logs.coverage(session, jobid, after, before, SINGLE):
        await QUESTIONS.compute(_check_rows, walk, found, report)
        after = found[-1].scheduledfor


def _check_rows(budget: Budget, walk: _Walk, rows: Sequence[LedgerRow], report: Findings) -> None:
    schedule, cursor = walk.schedule, walk.cursor
    parts = walk.version.within
    for row in budget.within(rows):
        if not holds(parts, row.scheduledfor):
            continue
        is_blocked = row.reason in BLOCKED
        if not schedule.calls_for(row.scheduledfor) or _is_blocked(schedule, row) != is_blocked:
            report.find("stray", row.scheduledfor, 1, f"Log {row.logid} is not on the schedule.")
            continue
        report.rows += 1
        _check_bounds(walk.version, row, report)
        _check_row(schedule, row, is_blocked, cursor[is_blocked], report)
        cursor[is_blocked] = max(cursor[is_blocked], row.last)
        walk.newest = row
    if budget.is_spent:
        report.cut_short()


def _check_bounds(version: Version, row: LedgerRow, report: Findings) -> None:
    """No run may be one too many, and nothing may be written off for what did not happen."""
    at, name = row.scheduledfor, f"Log {row.logid}"
    if version.maxruns is not None and row.runs > version.maxruns:
        report.find("invariant", at, 1, f"{name} is run {row.runs}; maxruns is {version.maxruns}.")
    if row.reason == Reason.SUPERSEDED and version.to is None:
        report.find("invariant", at, 1, f"{name} was superseded, but its schedule holds.")
    if row.reason == Reason.UNTIL and version.definition.until is None:
        report.find("invariant", at, 1, f"{name} came after the end of a schedule that has none.")


def _check_row(
    schedule: Schedule, row: LedgerRow, is_blocked: bool, cursor: datetime, report: Findings
) -> None:
    first, last = row.scheduledfor, row.last
    if first <= cursor:
        report.find("double", first, 1, f"Log {row.logid} tells of what an earlier one accounts for.")
        return
    lost = schedule.counts(cursor + TICK, first)[is_blocked]
    if lost:
        report.find("hole", _first_of(schedule, cursor, is_blocked), lost, "No log accounts for them.")
    stands_for = schedule.counts(first, last + TICK)[is_blocked]
    if stands_for != row.missed + 1:
        said = f"Log {row.logid} says that it stands for {row.missed + 1}, but there are {stands_for}."
        report.find("miscount", first, 1, said)
    report.expected += lost + stands_for
    report.accounted += stands_for


def _check_rest(
    job: JobRow, walk: _Walk, is_blocked: bool, end: tuple[datetime, bool], report: Findings
) -> None:
    """Nothing may be left between the last row and what is still open, or the end of a job that is over."""
    schedule, cursor, (before, is_over) = walk.schedule, walk.cursor[is_blocked], end
    first = schedule.next_after(cursor)
    if first is None:
        return
    if is_over:
        # Of a job that ends with days off nothing is left that may run.
        free = None if is_blocked else schedule.first_free(first)
        if free is not None and free < before:
            report.find("invariant", free, 1, f"It is {job.state}, but its schedule goes on.")
        return
    if walk.version.schedule.first_free(first) is None:
        # Only days off were left: the job was over, whatever was changed afterwards.
        return
    lost = schedule.counts(cursor + TICK, before)[is_blocked]
    if lost:
        report.expected += lost
        report.find("hole", _first_of(schedule, cursor, is_blocked), lost, "No log accounts for them.")


def _end(job: JobRow, version: Version) -> datetime:
    """The first instant that the ledger need not account for under a version."""
    if version.to is not None:
        return version.to + TICK
    first = job.goes_on
    if first is not None:
        return first if version.kept else max(first, version.since)
    if job.state == "deleted":
        assert job.deletedat is not None
        return job.deletedat + TICK
    return END


async def _has_ended(session: Session, job: JobRow, walk: _Walk) -> bool:
    """Whether a schedule ended before its time: by maxruns, or as a run could not even be tried."""
    version, newest = walk.version, walk.newest
    if version.to is None:
        if job.nextoccurrence is not None or job.resumefrom is not None:
            return False
        if job.state == "paused" or (job.active and not await pending.live(session, job.jobid)):
            # It goes on where its rows end. That an active job has no next run is found apart.
            return True
    known = newest or walk.earlier
    if known is None:
        return False
    if version.maxruns is not None and known.runs >= version.maxruns:
        return True
    if newest is None:
        return walk.earlier is not None and walk.earlier.stopped
    return (
        job.kind != planning.MONITOR
        and newest.status == "failed"
        and not await attempts.latest(session, [newest.logid])
    )


def _is_blocked(schedule: Schedule, row: LedgerRow) -> bool:
    return schedule.block(row.scheduledfor) is not None


def _first_of(schedule: Schedule, after: datetime, is_blocked: bool) -> datetime | None:
    """The first free, or blocked, occurrence after an instant."""
    first = schedule.next_after(after)
    if first is None or not is_blocked:
        return first and schedule.first_free(first)
    while first is not None and schedule.block(first) is None:
        first = schedule.next_after(next(schedule.spans(first, END)).last)
    return first


async def _check_state(session: Session, job: JobRow, report: Findings) -> None:
    if job.after is not None:
        lost = await chains.lost(session, job.jobid)
        if lost.count:
            report.expected += lost.count
            report.find("hole", lost.first, lost.count, "It should have run after another job, and did not.")
    elif job.active and job.nextoccurrence is None and not await pending.live(session, job.jobid):
        report.find("invariant", None, 1, "It is active but has no scheduled run.")
    if job.state == "paused" and job.after is None and job.resumefrom is None:
        await _check_pause(session, job, report)
    if not job.active and job.nextoccurrence is not None:
        report.find("invariant", job.nextoccurrence, 1, f"It is {job.state}, but it has a scheduled run.")


async def _check_pause(session: Session, job: JobRow, report: Findings) -> None:
    """A paused job that has nothing to go on with is completed, unless its last run is in progress."""
    with contextlib.suppress(ScheduleUnusable):
        said = await logs.standing(session, job.jobid)
        since = max(said.accounted or job.validfrom, job.validfrom)
        over = planning.future_of(job, said).next_after(since) is None
        if over and not await pending.live(session, job.jobid):
            report.find("invariant", None, 1, "It is paused, but nothing of it is to come.")
