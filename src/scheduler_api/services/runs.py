"""Running what is due: one pass is one batch, one transaction, one instant."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database import claims
from scheduler_api.database.claims import DueLog, JobRules, Outcome
from scheduler_api.database.failures import DATABASE_ERRORS, explain, is_bad_row
from scheduler_api.database.statements import savepoint
from scheduler_api.schedule import Every, Misfire, Once, Verdict, plan

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
    outcomes = [_outcome(entry, rules[entry.jobid], now) for entry in logs]
    try:
        async with savepoint(session):
            await claims.settle(session, now, outcomes)
    except DATABASE_ERRORS as error:
        if not is_bad_row(error):
            raise
        log.warning("a batch does not settle as a whole; settling its rows one by one", claimed=len(logs))
        return await _settle_singly(session, now, outcomes)
    return _report(outcomes)


def _outcome(entry: DueLog, rules: JobRules, now: datetime) -> Outcome:
    """What becomes of one log. A row that can not be planned fails alone, and its job stops."""
    try:
        start = entry.scheduledfor
        cadence = Once(start) if rules.interval is None else Every(start, _seconds(rules.interval))
        fate = plan(cadence, start, now, MISFIRES[rules.misfire], _seconds(rules.grace))
    except (ArithmeticError, LookupError, ValueError) as error:
        log.error(
            "a job's schedule can not be computed",
            jobid=entry.jobid,
            logid=entry.logid,
            exc_info=error,
        )
        return _failure(entry.logid, f"The schedule can not be computed: {error}")
    reason = "misfire" if fate.verdict is Verdict.SKIPPED else None
    return Outcome(entry.logid, fate.verdict, fate.missed, reason, None, fate.next)


# A pass plans thousands of rows, and few intervals differ.
@lru_cache(maxsize=1024)
def _seconds(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


def _failure(logid: int, error: str) -> Outcome:
    return Outcome(logid, Verdict.FAILED, 0, None, error, None)


async def _settle_singly(session: AsyncSession, now: datetime, outcomes: list[Outcome]) -> PassReport:
    """Settle each row by itself, so that one the database refuses does not hold back the others."""
    report = PassReport(claimed=len(outcomes))
    for outcome in outcomes:
        said = await _refusal(session, now, outcome)
        if said is None:
            report += _report([outcome], claimed=0)
            continue
        log.error("a log does not settle", logid=outcome.logid, error=said)
        failure = _failure(outcome.logid, f"The result could not be stored: {said}")
        if await _refusal(session, now, failure) is None:
            report.failed += 1
        else:
            report.stuck += 1
    return report


async def _refusal(session: AsyncSession, now: datetime, outcome: Outcome) -> str | None:
    """Settle one row in a savepoint; what the database said if it refused."""
    try:
        async with savepoint(session):
            await claims.settle(session, now, [outcome])
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
