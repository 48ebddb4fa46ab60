"""Running what is due: one pass is one batch, one transaction, one instant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database import claims, ledger
from scheduler_api.database.calls import DueCall
from scheduler_api.database.claims import DueLog, JobRules, Outcome
from scheduler_api.database.failures import DATABASE_ERRORS, explain, is_bad_row
from scheduler_api.database.ledger import Skipped
from scheduler_api.database.statements import savepoint
from scheduler_api.schedule import Every, Misfire, Once, Plan, Reason, Schedule, Verdict, plan
from scheduler_api.services import chains, standing

log = structlog.get_logger(__name__)

MISFIRES = {policy.value: policy for policy in Misfire}


@dataclass(slots=True)
class PassReport:
    """What one pass, or several, did."""

    claimed: int = 0
    finished: int = 0
    failed: int = 0
    skipped: int = 0
    stuck: int = 0
    """Logs that could not even be settled; they stay pending."""

    def __iadd__(self, other: "PassReport") -> "PassReport":
        self.claimed += other.claimed
        self.finished += other.finished
        self.failed += other.failed
        self.skipped += other.skipped
        self.stuck += other.stuck
        return self


async def run_pass(session: AsyncSession, now: datetime, most: int, due: datetime) -> PassReport:
    """Claim up to `most` logs whose time came at `due`, which is not after `now`, and settle them."""
    logs = await claims.claim_due(session, due, most)
    if not logs:
        return PassReport()
    rules = await claims.rules_of(session, [entry.jobid for entry in logs])
    refined = [entry.logid for entry in logs if rules[entry.jobid].refined]
    refinements = await claims.refinements_of(session, refined) if refined else {}
    fates = [fate_of(entry, rules[entry.jobid], refinements.get(entry.logid), now) for entry in logs]
    outcomes, barred = [fate.outcome for fate in fates], [row for fate in fates for row in fate.barred]
    try:
        async with savepoint(session):
            await claims.settle(session, now, outcomes)
            await ledger.skip(session, now, barred)
        report = _report(outcomes)
    except DATABASE_ERRORS as error:
        if not is_bad_row(error):
            raise
        log.warning("a batch does not settle as a whole; settling its rows one by one", claimed=len(logs))
        report = await _settle_singly(session, now, fates)
    await chains.fire(session, now, [entry.logid for entry in logs if rules[entry.jobid].followed])
    return report


class Fate(NamedTuple):
    """What becomes of one log, and the rows of those that its schedule keeps from running."""

    outcome: Outcome
    barred: Sequence[Skipped] = ()


def fate_of(
    entry: DueLog | DueCall, rules: JobRules, refinement: Mapping[str, Any] | None, now: datetime
) -> Fate:
    """What becomes of one log, by its schedule and policies.

    A row that can not be planned fails alone, and its job stops.
    """
    if rules.deleted:
        return Fate(Outcome(entry.logid, Verdict.SKIPPED, reason=Reason.DELETED))
    if entry.cause != "schedule":
        return Fate(Outcome(entry.logid, Verdict.FINISHED))
    try:
        misfire, grace = MISFIRES[rules.misfire], _seconds(rules.grace)
        if refinement is not None:
            return _refined(entry, refinement, now, misfire, grace)
        schedule = _plain_schedule(entry, rules.interval)
        return Fate(_outcome(entry, plan(schedule, entry.scheduledfor, now, misfire, grace)))
    except (ArithmeticError, LookupError, ValueError) as error:
        log.error(
            "a job's schedule can not be computed",
            jobid=entry.jobid,
            logid=entry.logid,
            exc_info=error,
        )
        return Fate(_failure(entry.logid, f"The schedule can not be computed: {error}"))


def _plain_schedule(entry: DueLog | DueCall, interval: int | None) -> Schedule:
    # The grid through any of its occurrences is the grid.
    if interval is not None:
        return Schedule(Every(entry.scheduledfor, _seconds(interval)))
    return Schedule(Once(entry.scheduledfor))


def _outcome(entry: DueLog | DueCall, fate: Plan) -> Outcome:
    return Outcome(entry.logid, fate.verdict, fate.missed, fate.through, fate.reason, None, fate.next)


def _refined(
    entry: DueLog | DueCall, refinement: Mapping[str, Any], now: datetime, misfire: Misfire, grace: timedelta
) -> Fate:
    """The same for a schedule with cron, an end, excluded days, jitter or a limit of runs."""
    schedule, jitter = standing.computed(refinement), refinement["jitter"]
    future = standing.future_of(refinement, refinement, schedule)
    fate = plan(schedule, entry.scheduledfor, now - standing.spread(entry.jobid, jitter), misfire, grace)
    if fate.verdict is Verdict.FINISHED:
        future = future.ran(now)
    following = future.admit(fate.next)
    tried = following and standing.tried_at(schedule, following, entry.jobid, jitter)
    ending = future.lastrun, future.runs
    barred = [
        Skipped(entry.jobid, span.first, span.size - 1, span.reaches, str(span.bar), *ending)
        for span in fate.barred
    ]
    return Fate(_outcome(entry, fate)._replace(next=following, tried=tried), barred)


# A pass plans thousands of rows, and few intervals differ.
@lru_cache(maxsize=1024)
def _seconds(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


def _failure(logid: int, error: str) -> Outcome:
    return Outcome(logid, Verdict.FAILED, error=error)


async def _settle_singly(session: AsyncSession, now: datetime, fates: list[Fate]) -> PassReport:
    """Settle each row by itself, so that one the database refuses does not hold back the others."""
    report = PassReport(claimed=len(fates))
    for fate in fates:
        logid = fate.outcome.logid
        said = await _refusal(session, now, fate)
        if said is None:
            report += _report([fate.outcome], claimed=0)
            continue
        log.error("a log does not settle", logid=logid, error=said)
        failure = Fate(_failure(logid, f"The result could not be stored: {said}"))
        if await _refusal(session, now, failure) is None:
            report.failed += 1
        else:
            report.stuck += 1
    return report


async def _refusal(session: AsyncSession, now: datetime, fate: Fate) -> str | None:
    """Settle one row in a savepoint; what the database said if it refused."""
    try:
        async with savepoint(session):
            await claims.settle(session, now, [fate.outcome])
            await ledger.skip(session, now, fate.barred)
    except DATABASE_ERRORS as error:
        if not is_bad_row(error):
            raise
        return explain(error)
    return None


def _report(outcomes: list[Outcome], claimed: int | None = None) -> PassReport:
    verdicts = [outcome.status for outcome in outcomes]
    return PassReport(
        claimed=len(outcomes) if claimed is None else claimed,
        finished=verdicts.count(Verdict.FINISHED),
        failed=verdicts.count(Verdict.FAILED),
        skipped=verdicts.count(Verdict.SKIPPED),
    )
