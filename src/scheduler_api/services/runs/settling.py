"""The one door for results: what was claimed gets its result here, whatever ran it and however it ended.

Who runs, makes calls, takes reports, cancels or takes over decides what became of each run, and hands that to
`settle`. What never ran is written by `services/jobs/skipping.py`, which this module uses, too.
"""

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from scheduler_api import metrics
from scheduler_api.actors import SCHEDULE
from scheduler_api.contracts.alerts.issues import JobIssueKind
from scheduler_api.contracts.jobs.actions import Pause
from scheduler_api.database.alerts.noticing import Noticed
from scheduler_api.database.jobs.rows import StateRow
from scheduler_api.database.runs import following, logs, standing
from scheduler_api.database.runs import settling as statements
from scheduler_api.database.runs.due import DueLog, JobRules
from scheduler_api.database.runs.leases import LeasedLog
from scheduler_api.database.runs.results import AttemptEnd, Result, Skipped
from scheduler_api.database.runs.standing import NOTHING, Outcome
from scheduler_api.database.statements import Session
from scheduler_api.errors import JobHasNoFuture, JobIsDeleted, JobNotFound, ScheduleUnusable
from scheduler_api.schedule import Reason, Status
from scheduler_api.services.alerts import noticing
from scheduler_api.services.jobs import actions, chains, locking, opening, planning, skipping
from scheduler_api.services.jobs.locking import LockedJob
from scheduler_api.services.runs import repairs
from scheduler_api.services.runs.ends import Ended
from scheduler_api.targets import Failure

#: How a run ends that ran.
RAN = {Status.FINISHED, Status.FAILED}
BEGINNING = datetime.min.replace(tzinfo=UTC)
#: The longest reason that a job is paused for.
MAX_REASON = 500
#: Why occurrences have not run that nobody has kept from it.
MISSED = {Reason.MISFIRE, Reason.OVERLAP, Reason.UNREPORTED}


class Judged(NamedTuple):
    """A run that is claimed or held, and what becomes of it."""

    log: DueLog | LeasedLog
    rules: JobRules | LeasedLog
    """What its job says."""
    result: Result | Skipped
    beside: Sequence[Skipped] = ()
    """Occurrences around it that did not run, and have no log."""
    end: Ended | None = None
    """How its attempt ended; None: it made none."""

    @property
    def is_over(self) -> bool:
        """Whether it has its final status."""
        return self.result.status not in {"pending", "running"}

    @property
    def may_meet_a_row(self) -> bool:
        """Whether its job's next occurrence may have a row already."""
        ahead, following = self.log.ahead, self.result.next
        return ahead is not None and following is not None and following <= ahead


async def settle(session: Session, now: datetime, judged: Sequence[Judged]) -> None:
    """Write what became of runs whose rows are locked, and do all that follows from it."""
    ran = [one.result for one in judged if isinstance(one.result, Result)]
    outcomes, beside_the_next = _outcomes(now, judged)
    looking = any(one.may_meet_a_row for one in judged)
    conflicts: list[int] = []
    if ran:
        conflicts += await statements.ran(session, now, ran, _ends(judged), outcomes, looking=looking)
    if beside_the_next:
        await standing.tell(session, now, beside_the_next)
    skipped = [one.result for one in judged if isinstance(one.result, Skipped)]
    beside = [row for one in judged for row in one.beside]
    conflicts += await skipping.skip(session, now, [*skipped, *beside], looking=looking)
    await repairs.go_on(session, now, conflicts)
    for follow in CONSEQUENCES:
        await follow(session, now, judged)
    session.when_committed(partial(_measure, now, judged))


def _measure(now: datetime, judged: Sequence[Judged]) -> None:
    """Count runs that have ended, how late those began that end as they begin, and what they stand for."""
    counts = Counter((one.result.status, one.log.cause) for one in judged if one.result.status in RAN)
    for labels, count in counts.items():
        metrics.RUNS.labels(*labels).inc(count)
    measure_starts(now, [one for one in judged if type(one.result) is Result and type(one.log) is DueLog])


def measure_starts(now: datetime, begun: Sequence[Judged]) -> None:
    """Measure how late runs began, and count what they stand for."""
    logs = [one.log for one in begun]
    metrics.START_DELAY.add(
        [(now - log.nextrun).total_seconds() for log in logs if isinstance(log, DueLog) and log.attempt == 1]
    )
    if missed := sum(one.result.missed or 0 for one in begun):
        metrics.MISSED.labels(metrics.COALESCED).inc(missed)


def _outcomes(
    now: datetime, judged: Sequence[Judged]
) -> tuple[dict[int, Outcome], dict[int, tuple[datetime, Outcome]]]:
    """What runs came to: by the log that carries their job's future, if it ran, too; else by jobid.

    By jobid also when the newest of them began, but for those that carry.
    """
    came_to: dict[int, Outcome] = {}
    carriers: dict[int, int] = {}
    begun: dict[int, datetime] = {}
    for one in judged:
        log, status = one.log, one.result.status
        if log.carries and isinstance(one.result, Result) and one.is_over:
            carriers[log.jobid] = log.logid
        if status in RAN:
            came_to[log.jobid] = came_to.get(log.jobid, NOTHING).followed_by(status)
            if not log.carries:
                began = log.startedat if isinstance(log, LeasedLog) else None
                begun[log.jobid] = max(began or now, begun.get(log.jobid, began or now))
    own = {carriers[jobid]: outcome for jobid, outcome in came_to.items() if jobid in carriers}
    # What ended is written once; that it began may be news all the same.
    beside = {
        jobid: (began, NOTHING if jobid in carriers else came_to[jobid]) for jobid, began in begun.items()
    }
    return own, beside


def _ends(judged: Sequence[Judged]) -> list[AttemptEnd]:
    return [
        AttemptEnd(
            log.logid,
            log.attempt,
            end.outcome,
            end.failure,
            end.error,
            end.httpstatus,
            end.timing,
            end.excerpt,
        )
        for log, _, _, _, end in judged
        if end is not None
    ]


async def complete(session: Session, now: datetime, judged: Sequence[Judged]) -> None:
    """Jobs whose last run this was are over."""
    idle: dict[int, tuple[datetime, int]] = {}
    overlapping = False
    for one in judged:
        log, result = one.log, one.result
        if result.next is None and one.is_over and log.cause == "schedule":
            runs = log.runs + (isinstance(result, Result) and result.missed is not None)
            idle[log.jobid] = max((log.scheduledfor, runs), idle.get(log.jobid, (log.scheduledfor, runs)))
            overlapping |= one.rules.overlap
    if not idle:
        return
    doubtful = await following.retire_idle(session, now, idle, overlapping=overlapping)
    over = [job.jobid for job in doubtful if await _is_over(session, now, job)]
    if over:
        await following.retire(session, over)
    await repairs.go_on(session, now, [job.jobid for job in doubtful if job.jobid not in over])


async def _is_over(session: Session, now: datetime, job: StateRow) -> bool:
    """Whether nothing is to come of a job that has no next run.

    It may have lost that: an occurrence that had run already, by a clock that was ahead, has no
    row again.
    """
    try:
        future = planning.future_of(job, await logs.standing(session, job.jobid))
        return await opening.first_open(session, LockedJob(job, [], now), future) is None
    except ScheduleUnusable:
        return True


async def fire_chains(session: Session, now: datetime, judged: Sequence[Judged]) -> None:
    """Jobs that run after these do."""
    ran = [one for one in judged if one.result.status in RAN]
    links = await chains.links(session, [one.log.jobid for one in ran])
    if links:
        ended = [chains.EndedRun(one.log.jobid, one.log.logid, one.result.status) for one in ran]
        await chains.fire(session, now, links, ended)


async def notice_issues(session: Session, now: datetime, judged: Sequence[Judged]) -> None:
    """What results show to be wrong with jobs is noticed, and what they show to be over."""
    telling = {one.log.jobid for one in judged if one.rules.openissues or _is_bad(one)}
    left = [one for one in judged if one.log.jobid in telling and one.is_over]
    known: set[int] = set()
    while left:
        # Results of one job count one after the other.
        first = {one.log.jobid: one for one in reversed(left)}
        left = [one for one in left if first[one.log.jobid] is not one]
        began = {
            jobid: _began(now, one)
            for jobid, one in first.items()
            if one.result.status == Status.FINISHED and (one.rules.openissues or jobid in known)
        }
        await noticing.succeeded(session, now, began)
        noticed = missed_in(first.values()) + _failed_in(first.values())
        await noticing.notice(session, now, noticed)
        known |= {one.jobid for one in noticed}


def _began(now: datetime, one: Judged) -> datetime:
    """When a run began; of one that stands for occurrences that were missed, before all that was noticed."""
    if one.result.missed:
        return BEGINNING
    return (one.log.startedat if isinstance(one.log, LeasedLog) else None) or now


def _is_bad(one: Judged) -> bool:
    result = one.result
    if isinstance(result, Skipped) or one.beside or result.missed:
        return True
    return result.status == Status.FAILED


def _is_deleted(rules: JobRules | LeasedLog) -> bool:
    return rules.deleted if isinstance(rules, JobRules) else rules.deletedat is not None


def _failed_in(judged: Iterable[Judged]) -> list[Noticed]:
    """The runs that have failed for good, but for those that somebody has cancelled."""
    return [
        Noticed(
            one.log.jobid,
            JobIssueKind.FAILED,
            first=one.log.scheduledfor,
            last=one.log.scheduledfor,
            logid=one.log.logid,
            error=one.result.error,
        )
        for one in judged
        if isinstance(one.result, Result)
        and one.result.status == Status.FAILED
        and not _is_deleted(one.rules)
        and (one.end is None or one.end.failure is not Failure.CANCELLED)
    ]


def missed_in(judged: Iterable[Judged]) -> list[Noticed]:
    """The occurrences that came and went without a run of their own."""
    found = []
    for one in judged:
        if _is_deleted(one.rules):
            continue
        result, log = one.result, one.log
        if isinstance(result, Result) and result.missed:
            last = result.through
            found.append(_missed(log.jobid, result.missed, (log.scheduledfor, last), log.logid))
        for row in (*one.beside, *([result] if isinstance(result, Skipped) else [])):
            if row.reason in MISSED:
                span = row.first, row.through or row.first
                found.append(_missed(row.jobid, 1 + (row.missed or 0), span, row.logid))
    return found


def _missed(jobid: int, count: int, span: tuple[datetime, datetime | None], logid: int | None) -> Noticed:
    return Noticed(jobid, JobIssueKind.MISSED, count, *span, logid)


async def pause_failing(session: Session, now: datetime, judged: Sequence[Judged]) -> None:
    """Jobs that fail as often as they may, or whose target is gone for good, are paused."""
    failed = {
        one.log.jobid: (one.log, one.end, one.result)
        for one in judged
        if one.end is not None
        and one.result.status == "failed"
        and isinstance(one.log, LeasedLog)
        and one.log.pausedat is None
    }
    counted = {
        jobid: log.autopause
        for jobid, (log, end, _) in failed.items()
        if log.autopause is not None and end.failure is not Failure.CANCELLED
    }
    failures = await standing.failures(session, sorted(counted)) if counted else {}
    for jobid, (log, end, result) in sorted(failed.items(), key=lambda item: item[0]):
        assert isinstance(result, Result)
        reason = _why_pause(log, end, result, failures.get(jobid, 0))
        if reason is not None:
            order = Pause.model_construct(reason=reason[:MAX_REASON], until=None)
            with contextlib.suppress(JobNotFound, JobIsDeleted, JobHasNoFuture):
                await actions.pause_locked(session, SCHEDULE, await locking.lock(session, now, jobid), order)
                paused = Noticed(jobid, JobIssueKind.PAUSED, logid=log.logid, error=order.reason)
                await noticing.notice(session, now, [paused])


def _why_pause(log: LeasedLog, end: Ended, result: Result, failures: int) -> str | None:
    """Why a job is to be paused that failed so often in a row, and what to do; None: it goes on.

    Failures are counted only where the job asks for it.
    """
    if end.failure is Failure.GONE:
        return "The target answered 410 Gone. Change the target, then resume the job."
    limit = log.autopause
    if limit is None or failures < limit:
        return None
    runs = "The run" if limit == 1 else f"{limit} runs in a row"
    return (
        f"{runs} failed, the last one: {result.error} Fix the cause and resume the job. "
        "Missed runs follow its misfire policy."
    )


#: What follows from results for jobs, in this order, in the same transaction. The next row comes before all
#: of it: the statements write it with the result that it rests on.
CONSEQUENCES: tuple[Callable[[Session, datetime, Sequence[Judged]], Awaitable[None]], ...] = (
    complete,
    fire_chains,
    notice_issues,
    pause_failing,
)
