"""Running what is due: one pass is one batch, one transaction, one instant."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database import claims, ledger
from scheduler_api.database.claims import DueLog, JobRules, Outcome
from scheduler_api.database.failures import DATABASE_ERRORS, explain, is_bad_row
from scheduler_api.database.ledger import Skipped
from scheduler_api.database.statements import savepoint
from scheduler_api.schedule import Every, Misfire, Once, Plan, Schedule, Verdict, plan, schedule_of
from scheduler_api.services import standing

log = structlog.get_logger(__name__)

NO_TIME = timedelta(0)
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
    refined = [jobid for jobid, rule in rules.items() if rule.refined]
    definitions = await claims.definitions_of(session, refined) if refined else {}
    fates = [_fate(entry, rules[entry.jobid], definitions.get(entry.jobid), now) for entry in logs]
    outcomes, barred = [fate.outcome for fate in fates], [row for fate in fates for row in fate.barred]
    try:
        async with savepoint(session):
            await claims.settle(session, now, outcomes)
            await ledger.skip(session, now, barred)
    except DATABASE_ERRORS as error:
        if not is_bad_row(error):
            raise
        log.warning("a batch does not settle as a whole; settling its rows one by one", claimed=len(logs))
        return await _settle_singly(session, now, fates)
    return _report(outcomes)


class Fate(NamedTuple):
    """What becomes of one log, and the rows of those that its schedule keeps from running."""

    outcome: Outcome
    barred: list[Skipped]


def _fate(entry: DueLog, rules: JobRules, definition: Mapping[str, Any] | None, now: datetime) -> Fate:
    """What becomes of one log. A row that can not be planned fails alone, and its job stops."""
    if entry.cause != "schedule":
        return Fate(Outcome(entry.logid, Verdict.FINISHED, runs=entry.runs), [])
    try:
        schedule = _schedule(entry, rules, definition)
        delay = standing.spread(entry.jobid, rules.jitter) if rules.jitter else NO_TIME
        fate = plan(schedule, entry.scheduledfor, now - delay, MISFIRES[rules.misfire], _seconds(rules.grace))
        return _planned(entry, rules, schedule, fate, now)
    except (ArithmeticError, LookupError, ValueError) as error:
        log.error(
            "a job's schedule can not be computed",
            jobid=entry.jobid,
            logid=entry.logid,
            exc_info=error,
        )
        return Fate(_failure(entry.logid, f"The schedule can not be computed: {error}"), [])


def _schedule(entry: DueLog, rules: JobRules, definition: Mapping[str, Any] | None) -> Schedule:
    if definition is not None:
        return schedule_of(standing.definition_of(definition))
    # The grid through any of its occurrences is the grid.
    if rules.interval is not None:
        return Schedule(Every(entry.scheduledfor, _seconds(rules.interval)))
    return Schedule(Once(entry.scheduledfor))


def _planned(entry: DueLog, rules: JobRules, schedule: Schedule, fate: Plan, now: datetime) -> Fate:
    ran = fate.verdict is Verdict.FINISHED
    runs, lastrun = entry.runs + ran, now if ran else entry.lastrun
    following = fate.next
    if rules.maxruns is not None and runs >= rules.maxruns:
        following = None
    tried = following
    if following is not None and (rules.refined or rules.jitter):
        tried = standing.tried_at(schedule, following, entry.jobid, rules.jitter)
    outcome = Outcome(
        entry.logid, fate.verdict, fate.missed, fate.through, runs, fate.reason, None, following, tried
    )
    barred = [
        Skipped(entry.jobid, span.first, span.size - 1, span.reaches, str(span.bar), lastrun, runs)
        for span in fate.barred
    ]
    return Fate(outcome, barred)


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
        failure = Fate(_failure(logid, f"The result could not be stored: {said}"), [])
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
