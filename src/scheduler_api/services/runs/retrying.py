"""Trying failed runs again, and cancelling those that are not over."""

import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from scheduler_api.actors import Actor
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.runs.attempts import Attempt, Line, LogWithAttempts
from scheduler_api.contracts.runs.logs import Log, LogCause
from scheduler_api.database.jobs import changes, definitions
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.runs import attempts, leases, lists, logs, pending, tallies
from scheduler_api.database.runs.lists import LogFilter
from scheduler_api.database.runs.results import Skipped
from scheduler_api.database.singly import one_by_one
from scheduler_api.database.statements import Session
from scheduler_api.errors import (
    JobHasNoTarget,
    JobIsDeleted,
    JobIsMonitor,
    LogIsSettled,
    LogNotFound,
    NothingToRetry,
    RunNotStarted,
    SchedulerError,
)
from scheduler_api.schedule import Reason
from scheduler_api.services.jobs import planning
from scheduler_api.services.jobs.skipping import skip
from scheduler_api.services.runs.ends import Ended
from scheduler_api.services.runs.holding import settle_held
from scheduler_api.targets import Failure, signatures

#: Logs that are tried again in one transaction.
BATCH = 100
#: Lines of a log that are shown.
MAX_LINES = 1000


async def get_log(session: Session, logid: int) -> LogWithAttempts:
    """A log with its attempts, and their output. Raises LogNotFound."""
    log = await _log(session, logid)
    made = await attempts.of_log(session, logid)
    return LogWithAttempts(
        log=log,
        traceid=_trace_of(log, made[0].jobcreatedat) if made else None,
        attempts=[Attempt.model_validate(vars(row)) for row in made],
        lines=[Line.model_validate(row._asdict()) for row in await attempts.lines(session, logid, MAX_LINES)],
        body=await logs.body_of(session, logid) if log.cause is LogCause.MANUAL else None,
    )


def _trace_of(log: Log, jobcreatedat: datetime) -> str:
    cause = signatures.cause_of(log.cause, log.parentlogid)
    return signatures.trace_id(signatures.delivery_id(log.jobid, jobcreatedat, log.scheduledfor, cause))


async def latest_attempts(session: Session, logids: Sequence[int]) -> dict[int, Attempt]:
    """The last attempt of each of these logs that calls a target, by logid; without the excerpts."""
    rows = await attempts.latest(session, logids)
    return {logid: Attempt.model_validate(vars(row)) for logid, row in rows.items()}


async def retry(session: Session, now: datetime, actor: Actor, logid: int) -> Log:
    """Try a failed call again, now, with as many attempts as a new one; its delivery id stays.

    Raises LogNotFound, NothingToRetry, JobIsDeleted, JobHasNoTarget.
    """
    # A day that is being closed would count the run, and not hear that it was taken back.
    await tallies.hold_closing(session)
    row = await leases.lock(session, logid)
    if row is None:
        raise LogNotFound(logid)
    if row.status != "failed":
        raise NothingToRetry(f"Run {logid} is {row.status}; only failed runs can be retried.")
    job = await definitions.share(session, row.jobid)
    assert job is not None
    if job.deletedat is not None:
        raise JobIsDeleted(row.jobid)
    if job.kind == planning.MONITOR:
        raise JobIsMonitor(row.jobid)
    if job.host is None or row.host is None:
        raise JobHasNoTarget(f"Job {row.jobid} no longer has a target.")
    await attempts.retry(session, now, logid, job.host)
    await pending.announce(session)
    await changes.record(session, now, actor, Event(ChangeAction.RETRIED, row.jobid, after={"logid": logid}))
    return await _log(session, logid)


class Retried(NamedTuple):
    """What one batch did."""

    last: int | None
    """The last of the logs; None: there was none."""
    done: int
    held: bool
    """Whether somebody holds some of them."""


async def retry_batch(
    session: Session, now: datetime, actor: Actor, wanted: LogFilter, after: int
) -> Retried:
    """Try the next failed calls above a logid again, but those that somebody holds, or that cannot be."""
    logids, done = await lists.failed(session, wanted, after, BATCH), list[int]()

    async def retry_one(logid: int) -> None:
        with contextlib.suppress(SchedulerError):
            await retry(session, now, actor, logid)
            done.append(logid)

    tried = await one_by_one(session, logids, retry_one)
    return Retried(logids[-1] if logids else None, len(done), any(one.is_held for one in tried))


async def count_failed(session: Session, wanted: LogFilter) -> int:
    """How many failed calls there are."""
    return await lists.count_failed(session, wanted)


async def cancel(session: Session, now: datetime, actor: Actor, logid: int) -> Log:
    """End a run that is in progress, or keep one from running; what its target answers then is dropped.

    Raises LogNotFound, LogIsSettled, RunNotStarted.
    """
    row = await leases.lock(session, logid)
    if row is None:
        raise LogNotFound(logid)
    if row.status not in {"pending", "running"}:
        raise LogIsSettled(f"Run {logid} is already {row.status}.")
    is_first = row.status == "pending" and row.attempt == 1
    if is_first and row.cause == "schedule":
        raise RunNotStarted(f"Run {logid} has not started; use POST /jobs/{row.jobid}/skip to skip it.")
    if is_first:
        skipped = Skipped(row.jobid, row.scheduledfor, Reason.CANCELLED, missed=None, logid=logid)
        await skip(session, now, [skipped])
    else:
        error = "It was cancelled by request."
        ended = Ended(logid, row.leasetoken or UUID(int=0), "cancelled", Failure.CANCELLED, error)
        await settle_held(session, now, row, ended)
    await pending.announce(session)
    await changes.record(
        session, now, actor, Event(ChangeAction.CANCELLED, row.jobid, after={"logid": logid})
    )
    return await _log(session, logid)


async def _log(session: Session, logid: int) -> Log:
    row = await logs.one(session, logid)
    if row is None:
        raise LogNotFound(logid)
    return Log.model_validate(vars(row))
