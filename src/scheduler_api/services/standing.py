"""Where a job's schedule stands: its promise, what is accounted for, and how to hold both still.

A verdict never accounts ahead of time, but for what a user asks to skip. So the ledger covers the
schedule from `validfrom` up to the job's first open occurrence: its promise, or, while it is paused,
`resumefrom`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.contracts import days_of
from scheduler_api.database import jobs, ledger
from scheduler_api.database.ledger import Skipped
from scheduler_api.database.statements import savepoint
from scheduler_api.errors import DatabaseBusy, JobIsDeleted, JobNotFound, ScheduleUnusable, StaleVersion
from scheduler_api.schedule import Definition, Fold, Gap, Reason, Schedule, schedule_of, skip_all

#: Tickers look at least this often, so a promise further away needs no announcement. It would cost:
#: transactions that notify commit one after the other.
ANNOUNCE_WITHIN = timedelta(hours=1)
#: How often to try for a job and its promise together, while others settle one promise after the other.
HOLD_TRIES = 10
#: Spreads consecutive numbers evenly: 2^64 divided by the golden ratio (Knuth, TAOCP 3, section 6.4).
GOLDEN, WORD = 0x9E3779B97F4A7C15, 2**64


class Held(NamedTuple):
    """A job and its promise, both locked: nobody else decides its future until the transaction ends."""

    job: asyncpg.Record
    promise: asyncpg.Record | None

    @property
    def open_from(self) -> datetime | None:
        """The first occurrence that the ledger does not account for; None: none is known."""
        found: datetime | None = self.promise["scheduledfor"] if self.promise else self.job["resumefrom"]
        return found

    @property
    def is_paused(self) -> bool:
        """Whether somebody paused the job, or created it so."""
        return self.job["pausedat"] is not None


class _PromisedMeanwhile(Exception):
    """The job got a promise between the two locks."""


async def hold(
    session: AsyncSession, jobid: int, version: int | None = None, *, deleted: bool = False
) -> Held:
    """Lock a job and its promise, in that order of rights: promise first, as those who run it do.

    Raises JobNotFound, JobIsDeleted unless `deleted` jobs are welcome, and StaleVersion where the job
    is not at `version`.
    """
    for _ in range(HOLD_TRIES):
        try:
            async with savepoint(session):
                promise = await ledger.lock_promise(session, jobid)
                job = await jobs.lock(session, jobid)
                # Another may have promised between the two locks. To wait for that row now would be the
                # wrong order, and could be a deadlock: let go of both, and try again.
                if promise is None and job is not None and await ledger.has_promise(session, jobid):
                    raise _PromisedMeanwhile
        except _PromisedMeanwhile:
            continue
        if job is None:
            raise JobNotFound(jobid)
        if job["deletedat"] is not None and not deleted:
            raise JobIsDeleted(jobid)
        if version is not None and job["version"] != version:
            raise StaleVersion(jobid, job["version"])
        return Held(job, promise)
    raise DatabaseBusy("The job is being run again and again; try once more.")


def definition_of(row: Mapping[str, Any]) -> Definition:
    """A job row's definition of its schedule."""
    return Definition(
        row["startdate"],
        row["starttime"],
        row["timezone"],
        row["interval"],
        row["cron"],
        row["until"],
        tuple(days_of(text) for text in row["exclude"]),
        Gap(row["dstgap"]),
        Fold(row["dstfold"]),
    )


def schedule_in(row: Mapping[str, Any]) -> Schedule:
    """A job row's schedule. Raises ScheduleUnusable."""
    try:
        return schedule_of(definition_of(row))
    except (ArithmeticError, ValueError) as error:
        raise ScheduleUnusable(f"The job's schedule can not be computed ({error}); edit it.") from error


def spread(jobid: int, jitter: int) -> timedelta:
    """The job's own share of its jitter: the same for each of its runs, and unlike that of others."""
    return timedelta(seconds=(jobid * GOLDEN % WORD) * (jitter + 1) // WORD)


def tried_at(schedule: Schedule, occurrence: datetime, jobid: int, jitter: int) -> datetime:
    """When the promise of `occurrence` is to be looked at: as soon as a run may come of it.

    Occurrences that must not run wait for the one after them that may, so that one row tells of all; if
    there is none, for the last of them.
    """
    tried = schedule.first_free(occurrence)
    if tried is None:
        assert schedule.until is not None
        tried = schedule.last_before(schedule.until + datetime.resolution) or occurrence
    return tried + spread(jobid, jitter)


async def promise(
    session: AsyncSession,
    now: datetime,
    job: Mapping[str, Any],
    schedule: Schedule,
    occurrence: datetime,
    lastrun: datetime | None = None,
    runs: int = 0,
) -> datetime:
    """Promise the job's occurrence, and wake the tickers if it is near; when it will be tried."""
    tried = tried_at(schedule, occurrence, job["jobid"], job["jitter"])
    await ledger.promise(session, job["jobid"], occurrence, tried, lastrun, runs)
    if tried - now < ANNOUNCE_WITHIN:
        await ledger.announce(session)
    return tried


async def write_off(
    session: AsyncSession,
    now: datetime,
    job: Mapping[str, Any],
    schedule: Schedule,
    first: datetime,
    last: datetime,
    reason: Reason,
    carried: Mapping[str, Any],
) -> datetime | None:
    """Account for all occurrences from `first` to `last` as skipped; the occurrence that comes next.

    Those that the schedule itself keeps from running get rows of their own. `carried` holds the
    `lastrun` and `runs` that the ledger goes on with.
    """
    rows: list[Skipped] = []
    following: datetime | None = first
    lastrun, runs = carried["lastrun"], carried["runs"] or 0
    while following is not None and following <= last:
        fate = skip_all(schedule, following, last, reason)
        rows.append(
            Skipped(job["jobid"], following, fate.missed, fate.through, str(fate.reason), lastrun, runs)
        )
        rows += (
            Skipped(job["jobid"], span.first, span.size - 1, span.reaches, str(span.bar), lastrun, runs)
            for span in fate.barred
        )
        following = fate.next
    await ledger.skip(session, now, rows)
    return following
