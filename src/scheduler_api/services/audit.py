"""The ledger against the schedule: every expected occurrence is accounted for, once.

What is expected is computed anew from the definition and its edits, by counting; what is there is read
row by row. Occurrences that may run and those that the schedule keeps from running are walked apart,
as their rows overlap: a catch-up run stands for those on both sides of a holiday.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.contracts import JobCheck
from scheduler_api.database import attempts, chains, jobs, ledger, promises
from scheduler_api.errors import ScheduleUnusable
from scheduler_api.schedule import END, Bar, Reason, Schedule, holds
from scheduler_api.services import standing
from scheduler_api.services.invariants import Report, check_logs
from scheduler_api.services.past import Past, Version, past_of

#: Rows read at once.
BATCH = 5000
BARRED = {str(bar) for bar in Bar}
TICK = datetime.resolution


async def check_job(session: AsyncSession, jobid: int) -> JobCheck:
    """Compare one job's ledger with what was expected of it. Raises JobNotFound."""
    past = await past_of(session, jobid)
    report = Report(jobid)
    for version in past.versions:
        try:
            schedule = version.own
        except ScheduleUnusable as error:
            report.find("invariant", version.since, 1, str(error))
            report.complete = False
            continue
        await _check_version(session, past, version, schedule, report)
    await _check_state(session, past.job, report)
    await check_logs(session, past, report)
    return report.result()


async def jobids(session: AsyncSession, after: int) -> list[int]:
    """The ids of some jobs above `after`, in order; deleted ones among them."""
    return await jobs.ids(session, after, BATCH)


async def _check_version(
    session: AsyncSession, past: Past, version: Version, schedule: Schedule, report: Report
) -> None:
    """Walk one schedule's time. The cursors are the last occurrences accounted for, of either kind."""
    job, parts = past.job, version.within
    if not parts:
        return
    before, start = _end(job, version), parts[0].first - TICK
    goes_on = job["promised"] or job["resumefrom"]
    if version.to is None and goes_on is not None and not schedule.calls_for(goes_on):
        report.find("invariant", goes_on, 1, "What it is to go on with is not on its schedule.")
    cursor = {False: start, True: start}
    newest: Mapping[str, Any] | None = None
    async for row in _rows(session, job["jobid"], start, before):
        if not holds(parts, row["scheduledfor"]):
            continue
        is_barred = row["reason"] in BARRED
        if not schedule.calls_for(row["scheduledfor"]) or _is_barred(schedule, row) != is_barred:
            report.find("stray", row["scheduledfor"], 1, f"Log {row['logid']} is not on the schedule.")
            continue
        report.rows += 1
        _check_bounds(version, row, report)
        _check_row(schedule, row, is_barred, cursor[is_barred], report)
        cursor[is_barred] = max(cursor[is_barred], row["through"] or row["scheduledfor"])
        newest = row
    if await _has_ended(session, job, version, newest):
        return
    for is_barred in (False, True):
        _check_rest(job, schedule, is_barred, cursor[is_barred], before, report)


def _check_bounds(version: Version, row: Mapping[str, Any], report: Report) -> None:
    """No run may be one too many, and nothing may be written off for what did not happen."""
    at, name = row["scheduledfor"], f"Log {row['logid']}"
    if version.maxruns is not None and row["runs"] > version.maxruns:
        report.find("invariant", at, 1, f"{name} is run {row['runs']}; maxruns is {version.maxruns}.")
    if row["reason"] == Reason.SUPERSEDED and version.to is None:
        report.find("invariant", at, 1, f"{name} was superseded, but its schedule holds.")
    if row["reason"] == Reason.UNTIL and version.definition.until is None:
        report.find("invariant", at, 1, f"{name} came after the end of a schedule that has none.")


def _check_row(
    schedule: Schedule, row: Mapping[str, Any], is_barred: bool, cursor: datetime, report: Report
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
    job: Mapping[str, Any],
    schedule: Schedule,
    is_barred: bool,
    cursor: datetime,
    before: datetime,
    report: Report,
) -> None:
    """Nothing may be left between the last row and what is still open."""
    if schedule.next_after(cursor) is None:
        return
    if before == END:
        if not is_barred:
            said = f"It is {job['state']}, but its schedule goes on."
            report.find("invariant", schedule.next_after(cursor), 1, said)
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
        return first if version.kept else max(first, version.since)
    if job["state"] == "deleted":
        deleted: datetime = job["deletedat"]
        return deleted + TICK
    return END


async def _has_ended(
    session: AsyncSession, job: Mapping[str, Any], version: Version, newest: Mapping[str, Any] | None
) -> bool:
    """Whether a schedule ended before its time: by maxruns, or as a run could not even be tried."""
    if version.to is None:
        if job["promised"] is not None or job["resumefrom"] is not None:
            return False
        if job["state"] == "paused" or (job["active"] and not await promises.live(session, job["jobid"])):
            # It goes on where the ledger ends. That an active job promises nothing is told by itself.
            return True
    if newest is None:
        return False
    if version.maxruns is not None and newest["runs"] >= version.maxruns:
        return True
    return newest["status"] == "failed" and not await attempts.latest(session, [newest["logid"]])


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


async def _check_state(session: AsyncSession, job: Mapping[str, Any], report: Report) -> None:
    if job["after"] is not None:
        lost = await chains.lost(session, job["jobid"])
        if lost["count"]:
            report.expected += lost["count"]
            report.find(
                "hole", lost["first"], lost["count"], "It should have run after another job, and did not."
            )
    elif job["active"] and job["promised"] is None and not await promises.live(session, job["jobid"]):
        report.find("invariant", None, 1, "It is active, but nothing is promised.")
    if job["state"] == "paused" and job["after"] is None and job["resumefrom"] is None:
        await _check_pause(session, job, report)
    if not job["active"] and job["promised"] is not None:
        report.find("invariant", job["promised"], 1, f"It is {job['state']}, but a run is promised.")


async def _check_pause(session: AsyncSession, job: Mapping[str, Any], report: Report) -> None:
    """A paused job that has nothing to go on with is completed, unless its last run is under way."""
    with contextlib.suppress(ScheduleUnusable):
        said = await ledger.standing(session, job["jobid"])
        since = max(said["accounted"] or job["validfrom"], job["validfrom"])
        over = standing.future_of(job, said).next_after(since) is None
        if over and not await promises.live(session, job["jobid"]):
            report.find("invariant", None, 1, "It is paused, but nothing of it is to come.")


async def _rows(
    session: AsyncSession, jobid: int, after: datetime, before: datetime
) -> AsyncIterator[Mapping[str, Any]]:
    while found := await ledger.coverage(session, jobid, after, before, BATCH):
        for row in found:
            yield row
        after = found[-1]["scheduledfor"]
