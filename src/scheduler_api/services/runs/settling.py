"""What an attempt amounts to: a result or another attempt, and what follows for its job."""

import contextlib
import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from scheduler_api.computing import in_turns
from scheduler_api.contracts.jobs.actions import Pause
from scheduler_api.contracts.jobs.targets import Target, target_of
from scheduler_api.database.runs import logs, passes
from scheduler_api.database.runs import settling as statements
from scheduler_api.database.runs.claims import Policies
from scheduler_api.database.runs.leases import LeasedLog
from scheduler_api.database.runs.logs import Skipped
from scheduler_api.database.runs.settling import Last, Settlement
from scheduler_api.database.statements import Session
from scheduler_api.errors import JobHasNoFuture, JobIsDeleted, JobNotFound, ScheduleUnusable
from scheduler_api.schedule import Misfire, Reason
from scheduler_api.services.jobs import actions, chains, locking, opening
from scheduler_api.services.jobs.locking import Carried, LockedJob
from scheduler_api.services.runs import repairs
from scheduler_api.targets import Failure, backoff

#: The longest reason that a job is paused for.
MAX_REASON = 500


class Ended(NamedTuple):
    """What came of an attempt."""

    logid: int
    token: UUID
    outcome: str
    """`finished`, `failed`, `accepted`, `lost`, `cancelled`; or `released`: no request was made."""
    failure: Failure | None = None
    error: str | None = None
    again: bool = False
    """Whether another attempt may do better."""
    after: float | None = None
    """Seconds that the target asks to wait."""
    httpstatus: int | None = None
    timing: str | None = None
    excerpt: str | None = None

    @property
    def answer(self) -> tuple[int | None, str | None, str | None]:
        """What the target answered: status, timing, excerpt."""
        return self.httpstatus, self.timing, self.excerpt


class Settled(NamedTuple):
    """A log, and what became of it."""

    logid: int
    status: str
    next: float | None = None
    """Seconds until what follows is due: another attempt, or the job's next run; None: nothing."""


def target_in(document: str | None) -> Target | None:
    """The target that a job's row holds; None: it has none, or none that can be understood."""
    try:
        return None if document is None else target_of(document)
    except ValueError:
        return None


Refinement = Mapping[str, Any]
End = tuple[LeasedLog, Policies, Ended]
"""A run whose row is locked, what its job says of what follows, and how the attempt ended."""


async def judge(session: Session, now: datetime, ends: Sequence[End]) -> list[Settlement]:
    """What becomes of these runs; the rows for what their jobs skip are written.

    The jobs' definitions are read at once, whatever their schedules: the rows are locked meanwhile.
    """
    refined = [row.logid for row, known, _ in ends if _asks_schedule(row, known)]
    refinements = await passes.refinements_of(session, refined) if refined else {}

    def judge_one(end: End) -> tuple[Settlement, Sequence[Skipped]]:
        return _verdict(now, end, refinements.get(end[0].logid))

    judged = await in_turns(judge_one, ends)
    await locking.skip(session, now, [row for _, skipped in judged for row in skipped])
    return [settlement for settlement, _ in judged]


def _verdict(
    now: datetime, ended: End, refinement: Refinement | None
) -> tuple[Settlement, Sequence[Skipped]]:
    """What becomes of a run, and the rows for what its job skips."""
    row, known, end = ended
    following = Following()
    error = end.error
    if end.outcome == "finished":
        status, again = "finished", None
    else:
        again, why = _again_at(now, row, known, end)
        status = "failed" if again is None else "pending"
        error = f"{end.error} {why}" if why else end.error
    if again is None and row.following is not None:
        following = _following(now, row, known, refinement)
    settlement = Settlement(
        row.logid, row.attempt, status, again, following.occurrence, following.tried,
        end.outcome, end.failure, error, end.error, end.httpstatus, end.timing, end.excerpt,
    )  # fmt: skip
    return settlement, following.skipped


def _again_at(
    now: datetime, row: LeasedLog, known: Policies, end: Ended
) -> tuple[datetime | None, str | None]:
    """When the next attempt is due; None: there is none, and why, where the end itself does not say so."""
    target = target_in(known.target)
    why = _why_last(now, row, known, end, target)
    if why is not None:
        return None, why
    # That a replica went away is no fault of the target, which need not be spared.
    lost = end.failure is Failure.LOST and end.outcome == "lost"
    if target is None or lost or end.outcome == "released":
        return now, None
    share = random.random()  # noqa: S311 - spreads load
    pause = backoff.pause(row.attempt - row.spent, target.backoff, target.maxbackoff, share)
    return now + timedelta(seconds=max(pause, end.after or 0)), None


def _why_last(
    now: datetime, row: LeasedLog, known: Policies, end: Ended, target: Target | None
) -> str | None:
    """Why no attempt follows, empty where the end says why itself; None: one follows.

    Whether one follows is judged when the one before has ended, and not by when it would begin: so what a
    target asks to wait is waited for, however near the end of the time to retry for.
    """
    if known.deletedat is not None:
        return "The job was deleted meanwhile, so it is not retried."
    if end.outcome == "released":
        return None
    if not end.again:
        return ""
    name = f"That was attempt {row.attempt}"
    if target is None or row.attempt - row.spent > target.retries:
        return f"{name}."
    assert row.startedat is not None
    if now > row.startedat + timedelta(seconds=target.retryfor):
        return f"{name}, and the last one: more than {target.retryfor} seconds have passed since the first."
    return None


class Following(NamedTuple):
    """How a job goes on after a run."""

    occurrence: datetime | None = None
    tried: datetime | None = None
    """When it is to be tried."""
    skipped: Sequence[Skipped] = ()
    """The rows for what is skipped before."""


def _asks_schedule(row: LeasedLog, known: Policies) -> bool:
    """Whether the job's whole definition decides about how it goes on."""
    return row.following is not None and (known.refined or known.misfire == Misfire.SKIP)


def _following(now: datetime, row: LeasedLog, known: Policies, refined: Refinement | None) -> Following:
    """The occurrence that the job goes on with.

    What came while the run was under way is a misfire like any other; where those are skipped, the ledger
    says that it was the overlap.
    """
    occurrence: datetime | None = row.following
    if refined is None:
        return Following(occurrence, occurrence)
    skipped: list[Skipped] = []
    try:
        future = locking.future_of(refined, Carried(refined["lastrun"], refined["runs"]))
        occurrence = future.admit(occurrence)
        horizon = now - timedelta(seconds=known.grace)
        if occurrence is not None and known.misfire == Misfire.SKIP and occurrence < horizon:
            last = horizon - datetime.resolution
            skipped, occurrence = locking.written_off(row.jobid, future, occurrence, last, Reason.OVERLAP)
        tried = occurrence and locking.tried_at(future.schedule, occurrence, row.jobid, refined["jitter"])
    except ScheduleUnusable:
        # The claim of the next run will say so.
        tried = occurrence
    return Following(occurrence, tried, skipped)


async def conclude(
    session: Session,
    now: datetime,
    ends: Sequence[End],
    settlements: Sequence[Settlement],
) -> None:
    """What settled runs mean for their jobs: one is over, or it is paused as it fails."""
    idle: dict[int, Last] = {}
    overlapping, failed = False, {}
    followed = [row.logid for (row, known, _), v in zip(ends, settlements, strict=True) if known.followed]
    await chains.fire(session, now, followed)
    for (row, known, end), settlement in zip(ends, settlements, strict=True):
        if settlement.status == "pending":
            continue
        if row.cause == "schedule" and settlement.next is None:
            last = Last(row.scheduledfor, row.runs)
            idle[row.jobid] = max(last, idle.get(row.jobid, last))
            overlapping |= known.overlap
        if settlement.status == "failed" and known.pausedat is None:
            failed[row.jobid] = (known, end, settlement)
    if idle:
        doubtful = await statements.retire_idle(session, now, idle, overlapping=overlapping)
        over = [job["jobid"] for job in doubtful if await _is_over(session, now, job)]
        if over:
            await statements.retire(session, over)
        await repairs.go_on(session, now, [job["jobid"] for job in doubtful if job["jobid"] not in over])
    counted = {
        jobid: known.autopause
        for jobid, (known, end, _) in failed.items()
        if known.autopause is not None and end.failure is not Failure.CANCELLED
    }
    failures = await statements.failed_in_a_row(session, counted)
    for jobid, (known, end, settlement) in sorted(failed.items()):
        reason = _why_pause(known, end, settlement, failures.get(jobid, 0))
        if reason is not None:
            order = Pause.model_construct(reason=reason[:MAX_REASON], until=None)
            with contextlib.suppress(JobNotFound, JobIsDeleted, JobHasNoFuture):
                await actions.pause_untold(session, now, jobid, order)


async def _is_over(session: Session, now: datetime, job: asyncpg.Record) -> bool:
    """Whether nothing is to come of a job that has no next run.

    It may have lost that: an occurrence that had run already, by a clock that was ahead, has no
    row again.
    """
    try:
        future = locking.future_of(job, await logs.standing(session, job["jobid"]))
        return await opening.first_open(session, LockedJob(job, [], now), future) is None
    except ScheduleUnusable:
        return True


def _why_pause(known: Policies, end: Ended, settlement: Settlement, failures: int) -> str | None:
    """Why a job is to be paused of which so many runs have failed in a row, and what to do; None: it goes on.

    Failures are counted only where the job asks for it.
    """
    if end.failure is Failure.GONE:
        return "The target answered 410 Gone. Change the target, then resume the job."
    limit = known.autopause
    if limit is None or failures < limit:
        return None
    runs = "The run" if limit == 1 else f"{limit} runs in a row"
    return (
        f"{runs} failed, the last one: {settlement.error} Fix the cause and resume the job. "
        "Missed runs follow its misfire policy."
    )
