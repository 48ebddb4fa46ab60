"""Running what is due: one pass is one batch, one transaction, one instant."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import structlog

from scheduler_api.computing import in_turns
from scheduler_api.database.failures import DATABASE_ERRORS, is_of_a_row
from scheduler_api.database.runs import passes
from scheduler_api.database.runs.claims import DueCall
from scheduler_api.database.runs.logs import Skipped
from scheduler_api.database.runs.passes import BEGINNING, DueLog, JobRules, Outcome
from scheduler_api.database.singly import Tried, one_by_one
from scheduler_api.database.statements import Session, savepoint
from scheduler_api.schedule import Decision, Every, Misfire, Once, Reason, Schedule, Status, decide
from scheduler_api.services.jobs import chains, locking
from scheduler_api.services.jobs.locking import Carried
from scheduler_api.services.runs import repairs

log = structlog.get_logger(__name__)

#: Seconds of planning in one transaction, which holds the rows of all that it has claimed.
PLANNING = 0.5
MISFIRES = {policy.value: policy for policy in Misfire}


@dataclass(slots=True)
class PassReport:
    """What one pass, or several, did."""

    claimed: int = 0
    finished: int = 0
    failed: int = 0
    skipped: int = 0
    stuck: int = 0
    """Logs that could not be settled; they stay pending."""
    held: set[int] = field(default_factory=set)
    """Their jobs."""

    def __iadd__(self, other: "PassReport") -> "PassReport":
        self.claimed += other.claimed
        self.finished += other.finished
        self.failed += other.failed
        self.skipped += other.skipped
        self.stuck += other.stuck
        self.held |= other.held
        return self


async def run_pass(
    session: Session,
    now: datetime,
    limit: int,
    due: datetime,
    held: Collection[int] = (),
    floor: datetime = BEGINNING,
) -> PassReport:
    """Claim up to `limit` logs whose time had come at `due`, and has come `now`, and settle them.

    Logs of `held` jobs are left alone, and so is what somebody else holds a row of. Nothing is looked for
    that was due before `floor`.
    """
    # The clock may have been set back since.
    claimed = await passes.claim_due(session, min(due, now), limit, held, floor)
    if not claimed:
        return PassReport()
    rules = await passes.rules_of(session, [entry.jobid for entry in claimed])
    logs = [entry for entry in claimed if entry.jobid in rules]
    stuck = PassReport(
        claimed=len(claimed) - len(logs),
        stuck=len(claimed) - len(logs),
        held={entry.jobid for entry in claimed} - rules.keys(),
    )
    if not logs:
        return stuck
    refined = [entry.logid for entry in logs if rules[entry.jobid].refined]
    refinements = await passes.refinements_of(session, refined) if refined else {}

    def plan_one(entry: DueLog) -> Fate:
        return fate_of(entry, rules[entry.jobid], refinements.get(entry.logid), now)

    # Those that are left keep their place: they are let go with the transaction, and taken by the next pass.
    fates = await in_turns(plan_one, logs, PLANNING)
    logs = logs[: len(fates)]
    try:
        async with savepoint(session):
            await _settle(session, now, logs, fates, rules)
        report = _report([fate.outcome for fate in fates])
    except DATABASE_ERRORS as error:
        if not is_of_a_row(error):
            raise
        log.warning("a batch does not settle as a whole; settling its rows one by one", claimed=len(logs))
        report = await _settle_singly(session, now, logs, fates, rules)
    report += stuck
    return report


class Fate(NamedTuple):
    """What becomes of one log, and the rows of those that its schedule keeps from running."""

    outcome: Outcome
    blocked: Sequence[Skipped] = ()


Rules = Mapping[int, JobRules]


async def _settle(
    session: Session, now: datetime, logs: Sequence[DueLog], fates: Sequence[Fate], rules: Rules
) -> None:
    conflicts = await passes.settle(session, now, [fate.outcome for fate in fates])
    await locking.skip(session, now, [row for fate in fates for row in fate.blocked])
    await repairs.go_on(session, now, conflicts)
    await chains.fire(session, now, [entry.logid for entry in logs if rules[entry.jobid].followed])


def fate_of(
    entry: DueLog | DueCall, rules: JobRules, refinement: Mapping[str, Any] | None, now: datetime
) -> Fate:
    """What becomes of one log, by its schedule and policies.

    A row that cannot be planned fails alone, and its job stops.
    """
    if rules.deleted:
        return Fate(Outcome(entry.logid, Status.SKIPPED, reason=Reason.DELETED))
    if entry.cause != "schedule":
        return Fate(Outcome(entry.logid, Status.FINISHED))
    try:
        misfire, grace = MISFIRES[rules.misfire], _seconds(rules.grace)
        if refinement is not None:
            return _refined(entry, refinement, now, misfire, grace)
        schedule = _plain_schedule(entry, rules.interval)
        return Fate(_outcome(entry, decide(schedule, entry.scheduledfor, now, misfire, grace)))
    except (ArithmeticError, LookupError, ValueError) as error:
        log.error(
            "a job's schedule cannot be computed",
            jobid=entry.jobid,
            logid=entry.logid,
            exc_info=error,
        )
        return Fate(_failure(entry.logid, f"The schedule cannot be computed: {error}"))


def _plain_schedule(entry: DueLog | DueCall, interval: int | None) -> Schedule:
    # The grid through any of its occurrences is the grid.
    if interval is not None:
        return Schedule(Every(entry.scheduledfor, _seconds(interval)))
    return Schedule(Once(entry.scheduledfor))


def _outcome(entry: DueLog | DueCall, decision: Decision) -> Outcome:
    return Outcome(
        entry.logid, decision.status, decision.missed, decision.through, decision.reason, None, decision.next
    )


def _refined(
    entry: DueLog | DueCall, refinement: Mapping[str, Any], now: datetime, misfire: Misfire, grace: timedelta
) -> Fate:
    """The same for a schedule with cron, an end, excluded days, jitter or a limit of runs."""
    schedule, jitter = locking.computed(refinement), refinement["jitter"]
    future = locking.future_of(refinement, Carried(refinement["lastrun"], refinement["runs"]), schedule)
    decision = decide(schedule, entry.scheduledfor, now - locking.spread(entry.jobid, jitter), misfire, grace)
    if decision.status is Status.FINISHED:
        future = future.ran(now)
    following = future.admit(decision.next)
    tried = following and locking.tried_at(schedule, following, entry.jobid, jitter)
    ending = future.lastrun, future.runs
    blocked = [
        Skipped(entry.jobid, span.first, span.size - 1, span.reaches, str(span.block), *ending)
        for span in decision.blocked
    ]
    return Fate(_outcome(entry, decision)._replace(next=following, tried=tried), blocked)


# A pass plans thousands of rows, and few intervals differ.
@lru_cache(maxsize=1024)
def _seconds(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


def _failure(logid: int, error: str) -> Outcome:
    return Outcome(logid, Status.FAILED, error=error)


Decided = tuple[DueLog, Fate]


async def _settle_singly(
    session: Session, now: datetime, logs: Sequence[DueLog], fates: Sequence[Fate], rules: Rules
) -> PassReport:
    """Settle each row by itself, so that one the database refuses does not hold back the others."""

    async def settle(decided: Decided) -> None:
        entry, fate = decided
        await _settle(session, now, [entry], [fate], rules)

    tried = await one_by_one(session, list(zip(logs, fates, strict=True)), settle)
    failures = [_refused(one) for one in tried if one.refusal is not None and not one.is_held]
    last = await one_by_one(session, failures, settle) if failures else []
    done = [one.item for one in (*tried, *last) if one.refusal is None]
    left = [one.item for one in tried if one.is_held] + [one.item for one in last if one.refusal is not None]
    report = _report([fate.outcome for _, fate in done])
    report += PassReport(claimed=len(left), stuck=len(left), held={entry.jobid for entry, _ in left})
    return report


def _refused(tried: Tried[Decided, None]) -> Decided:
    """The run fails, as the database does not take what became of it."""
    entry, _ = tried.item
    log.error("a log does not settle", logid=entry.logid, error=tried.refusal)
    return entry, Fate(_failure(entry.logid, f"The result could not be stored: {tried.refusal}"))


def _report(outcomes: Sequence[Outcome]) -> PassReport:
    verdicts = [outcome.status for outcome in outcomes]
    return PassReport(
        claimed=len(outcomes),
        finished=verdicts.count(Status.FINISHED),
        failed=verdicts.count(Status.FAILED),
        skipped=verdicts.count(Status.SKIPPED),
    )
