"""Where a job's schedule stands: its live logs, what is accounted for, and how to lock both.

A row never accounts ahead of time, but for what a user asks to skip. So the rows cover the schedule from
`validfrom` up to the job's first open occurrence: its next run; or what a run under way will add when it
settles; or, while the job is paused, `resumefrom`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import asyncpg

from scheduler_api.contracts.values import days_of
from scheduler_api.database.jobs import definitions
from scheduler_api.database.runs import logs, pending
from scheduler_api.database.runs.logs import Skipped, Standing
from scheduler_api.database.runs.pending import LiveLog
from scheduler_api.database.statements import Session, savepoint
from scheduler_api.errors import DatabaseBusy, JobIsDeleted, JobNotFound, ScheduleUnusable, StaleVersion
from scheduler_api.schedule import (
    TICK,
    Definition,
    Fold,
    Future,
    Gap,
    Part,
    Reason,
    Schedule,
    after,
    schedule_of,
    skip_all,
)

#: Tickers look at least this often, so a next run further away needs no announcement. It would cost:
#: transactions that notify commit one after the other.
ANNOUNCE_WITHIN = timedelta(hours=1)
#: The newest rows, among which what no row tells of is looked for.
MAX_ROWS = 1000
#: How often to try for a job and its next run together, while others settle one run after the other.
LOCK_TRIES = 10
#: Spreads consecutive numbers evenly: 2^64 divided by the golden ratio (Knuth, TAOCP 3, section 6.4).
GOLDEN, WORD = 0x9E3779B97F4A7C15, 2**64


class LockedJob(NamedTuple):
    """A job and its live logs, all locked: nobody else decides its future until the transaction ends."""

    job: asyncpg.Record
    live: Sequence[LiveLog]
    """The schedule's own, in order of their logids."""
    now: datetime
    """The instant to go on from. The locks may have been waited for, and the job have run meanwhile: what
    was decided at an earlier one would undo that."""

    @property
    def next_run(self) -> LiveLog | None:
        """The pending log of the next occurrence."""
        return next((log for log in self.live if log.status == "pending" and log.attempt == 1), None)

    @property
    def under_way(self) -> list[LiveLog]:
        """The logs that have been started: they run, or wait for another attempt."""
        next_run = self.next_run
        return [log for log in self.live if log is not next_run]

    @property
    def carrier(self) -> LiveLog | None:
        """The log that carries the job's future: the next run, or the run that will add it."""
        return self.next_run or next((log for log in self.live if log.following), None)

    @property
    def open_from(self) -> datetime | None:
        """The first occurrence that the ledger does not account for; None: none is known."""
        found: datetime | None = self.job["resumefrom"]
        if self.carrier is not None:
            found = self.carrier.following or self.carrier.scheduledfor
        return found

    @property
    def is_paused(self) -> bool:
        """Whether somebody paused the job, or created it so."""
        return self.job["pausedat"] is not None


class _StartedMeanwhile(Exception):
    """The job got another live log between the two locks."""


async def lock(
    session: Session, now: datetime, jobid: int, version: int | None = None, *, deleted: bool = False
) -> LockedJob:
    """Lock a job and its live logs, logs first, then the job: the order that every claimer uses.

    Raises JobNotFound, JobIsDeleted unless `deleted` jobs are welcome, and StaleVersion where the job
    is not at `version`.
    """
    for _ in range(LOCK_TRIES):
        try:
            async with savepoint(session):
                live = await pending.lock_live(session, jobid)
                job = await definitions.lock(session, jobid)
                # Another may have added a row between the two locks. To wait for that row now would be the
                # wrong order, and could be a deadlock: let go of all, and try again.
                if job is not None and not await pending.live(session, jobid) <= {log.logid for log in live}:
                    raise _StartedMeanwhile
        except _StartedMeanwhile:
            continue
        if job is None:
            raise JobNotFound(jobid)
        if job["deletedat"] is not None and not deleted:
            raise JobIsDeleted(jobid)
        if version is not None and job["version"] != version:
            raise StaleVersion(jobid, job["version"])
        return LockedJob(job, live, max(now, await definitions.clock(session)))
    raise DatabaseBusy("The job kept changing; try again.")


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
        return computed(row)
    except (ArithmeticError, ValueError) as error:
        raise ScheduleUnusable(f"The job's schedule cannot be computed ({error}); edit it.") from error


def computed(row: Mapping[str, Any]) -> Schedule:
    """The same. Raises ArithmeticError or ValueError where it cannot be computed."""
    return keeping(schedule_of(definition_of(row)), parts_of(row["kept"]), row["validfrom"])


def keeping(schedule: Schedule, parts: Sequence[Part], since: datetime) -> Schedule:
    """The schedule, for what comes after `since` and in parts of the time before; without any, as it is."""
    return schedule._replace(within=(*parts, after(since))) if parts else schedule


def parts_of(ends: Sequence[datetime]) -> tuple[Part, ...]:
    """Parts of time as a row holds them: the first and the last instant of each, in turn."""
    return tuple(Part(*pair) for pair in zip(ends[::2], ends[1::2], strict=True))


class Carried(NamedTuple):
    """The runs that a job goes on with."""

    lastrun: datetime | None
    runs: int | None


def future_of(
    row: Mapping[str, Any], carried: Standing | LiveLog | Carried, schedule: Schedule | None = None
) -> Future:
    """What is to come of a job's row, after the runs that it has made. Raises ScheduleUnusable."""
    known = schedule_in(row) if schedule is None else schedule
    return Future(known, row["maxruns"], carried.runs or 0, carried.lastrun)


def spread(jobid: int, jitter: int) -> timedelta:
    """The job's own share of its jitter: the same for each of its runs, and unlike that of others."""
    return timedelta(seconds=(jobid * GOLDEN % WORD) * (jitter + 1) // WORD)


def tried_at(schedule: Schedule, occurrence: datetime, jobid: int, jitter: int) -> datetime:
    """When the row of `occurrence` is to be looked at: as soon as a run may come of it.

    Occurrences that must not run wait for the one after them that may, so that one row tells of all; if
    there is none, for the last of them.
    """
    tried = schedule.first_free(occurrence)
    if tried is None:
        assert schedule.until is not None
        tried = schedule.last_before(schedule.until + datetime.resolution) or occurrence
    return tried + spread(jobid, jitter)


async def schedule_next(
    session: Session,
    now: datetime,
    job: Mapping[str, Any],
    future: Future,
    occurrence: datetime,
    given: LiveLog | None = None,
) -> datetime:
    """Add the row of the job's next occurrence, and wake the tickers if it is near; when it will be tried.

    Where a row tells of that already, the job goes on with the first one that none tells of. With the row
    that was `given` to it before, that one stays, and is only tried at another time.
    """
    tried = tried_at(future.schedule, occurrence, job["jobid"], job["jitter"])
    if given is not None:
        await pending.retime(session, given.logid, tried)
    elif not await pending.add(session, job["jobid"], occurrence, tried, future.lastrun, future.runs):
        # It has run already, by a clock that was ahead.
        before = occurrence - TICK
        rows = await logs.told_since(session, job["jobid"], before, MAX_ROWS)
        following = future.admit(first_beside(future.schedule, before, rows))
        if following is not None:
            tried = tried_at(future.schedule, following, job["jobid"], job["jitter"])
            await pending.add(session, job["jobid"], following, tried, future.lastrun, future.runs)
    if tried - now < ANNOUNCE_WITHIN:
        await pending.announce(session)
    return tried


def first_beside(schedule: Schedule, after: datetime, rows: Iterable[Mapping[str, Any]]) -> datetime | None:
    """The first occurrence later than `after` that none of the rows tells of."""
    found = schedule.next_after(after)
    for row in sorted(rows, key=lambda row: row["scheduledfor"]):
        last = row["through"] or row["scheduledfor"]
        if found is not None and row["scheduledfor"] <= found <= last:
            found = schedule.next_after(last)
    return found


async def take_back(session: Session, locked: LockedJob, but: datetime | None = None) -> None:
    """Leave the job without a future: its next run as if never added, runs under way to add nothing.

    The next run of the occurrence `but` stays, for `go_on`.
    """
    if locked.next_run is not None and locked.next_run.scheduledfor != but:
        await pending.withdraw(session, locked.next_run.logid)
    await pending.follow(session, [log.logid for log in locked.under_way], None)


async def go_on(
    session: Session,
    now: datetime,
    locked: LockedJob,
    job: Mapping[str, Any],
    future: Future,
    occurrence: datetime,
) -> None:
    """Let a job go on with `occurrence`: its row is added now, or when the run under way settles.

    All else of its future has been taken back.
    """
    given = locked.next_run
    if given is not None and given.scheduledfor != occurrence:
        given = None
    if given is None and locked.under_way and not job["overlap"]:
        await pending.follow(session, [locked.under_way[-1].logid], occurrence)
        return
    await schedule_next(session, now, job, future, occurrence, given)


async def write_off(
    session: Session,
    now: datetime,
    jobid: int,
    future: Future,
    first: datetime,
    last: datetime,
    reason: Reason,
) -> datetime | None:
    """Account for all occurrences from `first` to `last` as skipped; the occurrence that comes next."""
    rows, following = written_off(jobid, future, first, last, reason)
    await skip(session, now, rows, future.schedule)
    return following


async def skip(
    session: Session, now: datetime, rows: Sequence[Skipped], schedule: Schedule | None = None
) -> None:
    """Write rows for occurrences of the schedule, or of that of each job, that did not run.

    Some may have run already, by a clock that was ahead: then what lies between them gets rows.
    """
    for row in await logs.skip(session, now, rows):
        if row.through is not None:
            own = schedule or schedule_in(await definitions.one(session, row.jobid) or {})
            told = await logs.told_since(session, row.jobid, row.first - TICK, MAX_ROWS)
            await logs.skip(session, now, _between(row, own, told))


def _between(row: Skipped, schedule: Schedule, told: Sequence[Mapping[str, Any]]) -> list[Skipped]:
    """A row in parts: one for each stretch of its occurrences of which no other row tells."""
    assert row.through is not None
    parts = list[Skipped]()
    first = first_beside(schedule, row.first - TICK, told)
    while first is not None and first <= row.through:
        following = min(
            (other["scheduledfor"] for other in told if other["scheduledfor"] > first), default=None
        )
        last = row.through if following is None else schedule.last_before(min(following, row.through + TICK))
        assert last is not None
        free, _ = schedule.counts(first, last + TICK)
        parts.append(row._replace(first=first, missed=max(0, free - 1), through=last if free > 1 else None))
        first = first_beside(schedule, last, told)
    return parts


def written_off(
    jobid: int, future: Future, first: datetime, last: datetime, reason: Reason
) -> tuple[list[Skipped], datetime | None]:
    """The rows that account for all occurrences from `first` to `last`, and the occurrence that comes next.

    Those that the schedule itself keeps from running get rows of their own.
    """
    rows: list[Skipped] = []
    following = future.admit(first)
    ending = future.lastrun, future.runs
    while following is not None and following <= last:
        fate = skip_all(future.schedule, following, last, reason)
        rows.append(Skipped(jobid, following, fate.missed, fate.through, str(fate.reason), *ending))
        rows += (
            Skipped(jobid, span.first, span.size - 1, span.reaches, str(span.block), *ending)
            for span in fate.blocked
        )
        following = fate.next
    return rows, following
