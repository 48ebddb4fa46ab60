"""What becomes of a log that is due, by its job's schedule and policies; nothing here is written."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from scheduler_api.computing import in_turns
from scheduler_api.database.jobs.rows import ScheduleRow
from scheduler_api.database.runs import due
from scheduler_api.database.runs.due import DueLog, JobRules
from scheduler_api.database.runs.results import Result, Skipped
from scheduler_api.database.singly import Tried
from scheduler_api.database.statements import Session
from scheduler_api.schedule import (
    Decision,
    Every,
    Future,
    Misfire,
    Once,
    Reason,
    Schedule,
    Status,
    decide,
    skip_all,
)
from scheduler_api.services.jobs import planning
from scheduler_api.services.jobs.planning import Carried
from scheduler_api.services.runs.settling import Judged

logger = structlog.get_logger(__name__)

#: Seconds of planning in one transaction, which holds the rows of all that it has claimed.
PLANNING = 0.5
MISFIRES = {policy.value: policy for policy in Misfire}


async def judge(
    session: Session, now: datetime, logs: Sequence[DueLog], rules: Mapping[int, JobRules]
) -> list[Judged]:
    """What becomes of claimed logs, by the schedules and policies of their jobs: those decide once.

    Those that there is no time for are left out: the first so many are judged. They keep their place, as they
    are let go with the transaction, and taken by the next claim.
    """
    refined = [log.jobid for log in logs if rules[log.jobid].refined and log.attempt == 1]
    schedules = await due.schedules_of(session, refined)
    cases = _Cases(now)

    def judge_one(log: DueLog) -> Judged:
        job = rules[log.jobid]
        result, beside = _fate_of(log, job, schedules.get(log.jobid), cases)
        return Judged(log, job, result, beside)

    return await in_turns(judge_one, logs, PLANNING)


Fate = tuple[Result | Skipped, Sequence[Skipped]]


class _Cases:
    """What is decided at one instant.

    Many jobs are due at the same one, and few schedules differ: each case is decided once.
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._plain: dict[tuple[datetime, int | None, str, int], Decision] = {}
        self._decided: dict[tuple[Schedule, datetime, datetime, Misfire, timedelta], Decision] = {}

    def plainly(self, occurrence: datetime, interval: int | None, misfire: str, grace: int) -> Decision:
        """Of an interval; None: of a single start."""
        case = (occurrence, interval, misfire, grace)
        found = self._plain.get(case)
        if found is None:
            # The grid through any of its occurrences is the grid.
            every = Once(occurrence) if interval is None else Every(occurrence, timedelta(seconds=interval))
            lateness = timedelta(seconds=grace)
            found = decide(Schedule(every), occurrence, self.now, MISFIRES[misfire], lateness)
            self._plain[case] = found
        return found

    def decide(
        self, schedule: Schedule, occurrence: datetime, now: datetime, misfire: Misfire, grace: timedelta
    ) -> Decision:
        """Of any schedule, which is looked at as if it were `now`."""
        case = (schedule, occurrence, now, misfire, grace)
        found = self._decided.get(case)
        if found is None:
            found = decide(*case)
            # Where many rows come of each, the time to decide bounds how many one transaction writes.
            if not found.blocked:
                self._decided[case] = found
        return found


def _fate_of(log: DueLog, rules: JobRules, row: ScheduleRow | None, cases: _Cases) -> Fate:
    """What becomes of one log, and the rows of those that its schedule keeps from running.

    A log that cannot be planned fails alone, and its job stops.
    """
    if rules.deleted:
        return Skipped(log.jobid, log.scheduledfor, Reason.DELETED, missed=None, logid=log.logid), ()
    if log.cause != "schedule" or log.attempt > 1:
        return Result(log.logid, Status.FINISHED, missed=0 if log.attempt == 1 else None), ()
    try:
        if row is None:
            return _fate(log, cases.plainly(log.scheduledfor, rules.interval, rules.misfire, rules.grace)), ()
        if row.kind == planning.MONITOR:
            # The time to report is over, and so is that of all up to the same distance from now.
            return unreported(log, row, cases.now - planning.delay_of(row, row.jobid))
        return _refined(log, row, cases, MISFIRES[rules.misfire], timedelta(seconds=rules.grace))
    # Whatever is wrong with one: all that is due would wait for it.
    except Exception as error:
        logger.error(
            "a job's schedule cannot be computed",
            jobid=log.jobid,
            logid=log.logid,
            exc_info=error,
        )
        why = f"The schedule cannot be computed: {str(error) or type(error).__name__}"
        return Result(log.logid, Status.FAILED, why, missed=0), ()


def _fate(log: DueLog, decision: Decision) -> Result | Skipped:
    missed, through, following = decision.missed, decision.through, decision.next
    if decision.status is Status.SKIPPED:
        return Skipped(
            log.jobid,
            log.scheduledfor,
            str(decision.reason),
            missed,
            through,
            logid=log.logid,
            next=following,
        )
    return Result(log.logid, Status.FINISHED, None, None, False, missed, through, following)


def unreported(log: DueLog, row: ScheduleRow, until: datetime) -> Fate:
    """What becomes of a monitor's log of which no report came, and of all occurrences up to an instant."""
    future = planning.future_of(row, Carried(log.lastrun, log.runs))
    return _decided(log, future, skip_all(future.schedule, log.scheduledfor, until, Reason.UNREPORTED))


def _refined(log: DueLog, row: ScheduleRow, cases: _Cases, misfire: Misfire, grace: timedelta) -> Fate:
    """The same for a schedule with cron, an end, excluded days, jitter or a limit of runs."""
    future = planning.future_of(row, Carried(log.lastrun, log.runs), planning.computed(row))
    decision = cases.decide(future.schedule, log.scheduledfor, cases.now - future.delay, misfire, grace)
    if decision.status is Status.FINISHED:
        future = future.ran(cases.now)
    return _decided(log, future, decision)


def _decided(log: DueLog, future: Future, decision: Decision) -> Fate:
    following = future.admit(decision.next)
    tried = following and future.tried_at(following)
    ending = future.lastrun, future.runs
    blocked = [
        Skipped(log.jobid, span.first, str(span.block), span.size - 1, span.reaches, *ending)
        for span in decision.blocked
    ]
    return _fate(log, decision)._replace(next=following, tried=tried), blocked


def refused(what: str, tried: Tried[Judged]) -> Judged:
    """The run fails, as the database does not take what became of it."""
    one = tried.item
    logger.error("a run does not settle", logid=one.log.logid, error=tried.refusal)
    error = f"The {what}: {tried.refusal}"
    result = Result(one.log.logid, Status.FAILED, error, missed=0 if one.log.attempt == 1 else None)
    return one._replace(result=result, beside=())
