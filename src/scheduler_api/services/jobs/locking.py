"""Where a job's schedule stands: its live logs, what is accounted for, and how to lock both.

A row never accounts ahead of time, but for what a user asks to skip. So the rows cover the schedule from
`validfrom` up to the job's first open occurrence: its next run; or what a run in progress will add when it
settles; or, while the job is paused, `resumefrom`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_api.database.jobs import definitions
from scheduler_api.database.jobs.rows import StateRow
from scheduler_api.database.runs import logs, pending
from scheduler_api.database.runs.pending import LiveLog, Wanted
from scheduler_api.database.statements import Session, savepoint
from scheduler_api.errors import DatabaseBusy, JobIsDeleted, JobNotFound, StaleVersion
from scheduler_api.schedule import TICK, Future
from scheduler_api.services.jobs.planning import first_beside
from scheduler_api.services.jobs.skipping import MAX_ROWS

#: Tickers look at least this often, so a next run further away needs no announcement. It would cost:
#: transactions that notify commit one after the other.
ANNOUNCE_WITHIN = timedelta(hours=1)
#: How often to try for a job and its next run together, while others settle one run after the other.
LOCK_TRIES = 10


class LockedJob(NamedTuple):
    """A job and its live logs, all locked: nobody else decides its future until the transaction ends."""

    job: StateRow
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
        found: datetime | None = self.job.resumefrom
        if self.carrier is not None:
            found = self.carrier.following or self.carrier.scheduledfor
        return found


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
        if job.deletedat is not None and not deleted:
            raise JobIsDeleted(jobid)
        require_version(job, version)
        return LockedJob(job, live, max(now, await definitions.clock(session)))
    raise DatabaseBusy("The job kept changing; try again.")


def require_version(job: StateRow, version: int | None) -> None:
    """Raise StaleVersion where the job is not at `version`; None: any will do."""
    if version is not None and job.version != version:
        raise StaleVersion(job.jobid, job.version)


async def schedule_next(
    session: Session,
    now: datetime,
    jobid: int,
    future: Future,
    occurrence: datetime,
    given: LiveLog | None = None,
) -> datetime:
    """Add the row of the job's next occurrence, and wake the tickers if it is near; when it will be tried.

    Where a row tells of that already, the job goes on with the first one that none tells of. With the row
    that was `given` to it before, that one stays, and is only tried at another time.
    """
    tried = future.tried_at(occurrence)
    if given is not None:
        await pending.retime(session, given.logid, tried)
    elif not await pending.add(session, [Wanted(jobid, occurrence, tried, future.lastrun, future.runs)]):
        # It has run already, by a clock that was ahead.
        before = occurrence - TICK
        rows = await logs.rows_since(session, jobid, before, MAX_ROWS)
        following = future.admit(first_beside(future.schedule, before, rows))
        if following is not None:
            tried = future.tried_at(following)
            await pending.add(session, [Wanted(jobid, following, tried, future.lastrun, future.runs)])
    if tried - now < ANNOUNCE_WITHIN:
        await pending.announce(session)
    return tried


async def take_back(session: Session, locked: LockedJob, but: datetime | None = None) -> None:
    """Leave the job without a future: its next run as if never added, runs in progress to add nothing.

    The next run of the occurrence `but` stays, for `go_on`.
    """
    if locked.next_run is not None and locked.next_run.scheduledfor != but:
        await pending.withdraw(session, [locked.next_run.logid])
    if locked.under_way:
        await pending.let_go(session, [log.logid for log in locked.under_way])


async def go_on(
    session: Session,
    now: datetime,
    locked: LockedJob,
    future: Future,
    occurrence: datetime,
    *,
    overlap: bool,
) -> None:
    """Let a job go on with `occurrence`: its row is added now, or when the run in progress settles.

    All else of its future has been taken back.
    """
    given = locked.next_run
    if given is not None and given.scheduledfor != occurrence:
        given = None
    if given is None and locked.under_way and not overlap:
        await pending.follow(session, locked.under_way[-1].logid, occurrence)
        return
    await schedule_next(session, now, locked.job.jobid, future, occurrence, given)
