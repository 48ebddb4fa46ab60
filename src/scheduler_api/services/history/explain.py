"""Why a job did, or did not, run at an instant."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_api.computing import QUESTIONS
from scheduler_api.contracts.history.explanation import Explanation, ExplanationOutcome
from scheduler_api.contracts.history.timeline import DayTally
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.contracts.values import days_of
from scheduler_api.database.jobs import calendars
from scheduler_api.database.jobs.rows import JobRow
from scheduler_api.database.runs import breakers, logs, pending, tallies
from scheduler_api.database.runs.logs import LogRow
from scheduler_api.database.statements import Session
from scheduler_api.schedule import Block, Budget, Reason, wall_clock
from scheduler_api.schedule.days import midnight, utc_day
from scheduler_api.services.history.upcoming import occurrence_of
from scheduler_api.services.history.versions import ScheduleVersions, versions_of
from scheduler_api.services.system import limits
from scheduler_api.wording import explanations
from scheduler_api.wording.runs import SKIPS
from scheduler_api.wording.schedules import describe, local, note

SECOND = timedelta(seconds=1)


async def explain(
    session: Session, now: datetime, jobid: int, at: datetime, hostlimit: int, is_whole: bool = True
) -> Explanation:
    """What became of an instant, and why. Raises JobNotFound, ScheduleUnusable.

    `hostlimit` is how many calls at once a host gets that has no limit of its own; `is_whole`, whether who
    asks sees the jobs of all projects, with which this one shares hosts and limits.
    """
    versions = await versions_of(session, jobid)
    rows = await logs.around(session, jobid, at, at + SECOND)
    spent = await _is_spent(session, versions, at)
    # After the rows, as these go only when the horizon has moved.
    known = await tallies.frontier(session, jobid)
    is_gone = at < midnight(known.horizon)
    tally = await _tally(session, jobid, at) if is_gone else None
    clean = is_gone and await tallies.is_clean(session, jobid, utc_day(at))
    question = Question(at, now, midnight(known.history), midnight(known.horizon), tally, clean, spent)
    answer = await QUESTIONS.compute(_answer, question, versions, rows)
    if answer.outcome is ExplanationOutcome.SCHEDULED:
        zone = versions.at(at).definition.timezone
        held = await _held_back(session, answer.logs, now, zone, hostlimit)
        # What others call, and how often, is not for those who do not see their jobs.
        answer.sentence += held if is_whole or not held else explanations.HELD
    answer.sentence += explanations.in_calendars(await _calendars(session, versions, at))
    return answer


class Question(NamedTuple):
    """The instant in question, and what is known of the time around it."""

    at: datetime
    now: datetime
    history: datetime
    """Since when history is kept."""
    horizon: datetime
    """Since when all of it is, as the job may record failures only."""
    tally: DayTally | None
    """What became of the job's runs on its day, where that is before the horizon."""
    clean: bool
    """Whether all that was to run on that day was accounted for."""
    spent: bool
    """Whether the job will have run by then as often as it may."""


async def _tally(session: Session, jobid: int, at: datetime) -> DayTally | None:
    """What became of the job's runs on the day; None: nothing was counted."""
    day = utc_day(at)
    found = await tallies.of_days(session, jobid, day + timedelta(days=1), 1)
    return DayTally(**found[0]._asdict()) if found and found[0].day == day else None


async def _calendars(session: Session, versions: ScheduleVersions, at: datetime) -> list[str]:
    """The job's calendars that have the day, where it is one off."""
    version, names = versions.at(at), versions.job.calendars
    if not names or not version.own.calls_for(at) or not version.schedule.excludes(at):
        return []
    day = wall_clock(at, version.definition.timezone).date()
    known = await calendars.days(session, names)
    spans = {name: map(days_of, row.days) for name, row in known.items()}
    return [name for name, days in spans.items() if any(first <= day <= last for first, last in days)]


def _answer(
    budget: Budget, question: Question, versions: ScheduleVersions, rows: Sequence[LogRow]
) -> Explanation:
    at, now = question.at, question.now
    version = versions.at(at)
    schedule, zone = version.schedule, version.definition.timezone
    scheduled = version.own.calls_for(at)
    logs = _telling(versions, [Log.model_validate(vars(row)) for row in rows], at, scheduled)
    outcome, sentence = _judge(budget, versions, question, logs)
    before, after = schedule.last_before(at), schedule.next_after(at)
    return Explanation(
        at=at,
        outcome=outcome,
        sentence=sentence,
        schedule=describe(version.definition),
        scheduled=scheduled,
        note=note(schedule, zone, at) if scheduled else None,
        logs=logs,
        tally=question.tally,
        before=None if before is None else occurrence_of(schedule, zone, before, now),
        after=None if after is None else occurrence_of(schedule, zone, after, now),
    )


async def _is_spent(session: Session, versions: ScheduleVersions, at: datetime) -> bool:
    """Whether the job will have run, before the instant, as often as it may."""
    job = versions.job
    if job.maxruns is None:
        return False
    runs = (await logs.standing(session, job.jobid)).runs or 0
    first = job.goes_on
    ahead = 0 if first is None or first >= at else versions.all[-1].own.counts(first, at)[0]
    return bool(runs + ahead >= job.maxruns)


def _telling(versions: ScheduleVersions, logs: Sequence[Log], at: datetime, scheduled: bool) -> list[Log]:
    """Those of the logs that tell of the instant: its own, or one that reaches over it and counts it."""
    version = versions.at(at)
    own = [log for log in logs if log.scheduledfor >= at]
    if any(log.scheduledfor == at and log.cause == "schedule" for log in own) or not scheduled:
        return own
    block = version.schedule.block(at)
    kinds = {str(block)} if block else {log.reason for log in logs} - {str(block) for block in Block}
    # An edit writes off occurrences between others that stay: each schedule has rows of its own.
    earlier = [log for log in logs if log.scheduledfor < at and log.reason in kinds]
    return own + [log for log in earlier if versions.at(log.scheduledfor) is version][:1]


def _judge(
    budget: Budget, versions: ScheduleVersions, question: Question, logs: Sequence[Log]
) -> tuple[ExplanationOutcome, str]:
    at = question.at
    job, version = versions.job, versions.at(at)
    scheduled = version.own.calls_for(at)
    zone = version.definition.timezone
    when = local(at, zone)
    for log in logs:
        # The schedule's own run says more than a manual one at the same time.
        if log.cause == "schedule" or not scheduled:
            return explanations.of_log(log, at, zone)
    if (outside := _outside(job, question, when, zone)) is not None:
        return outside
    if not scheduled:
        more = _edited(budget, versions, at, zone) + explanations.neighbours(version.schedule, at, zone)
        return ExplanationOutcome.NOT_SCHEDULED, f"The schedule does not include {when}.{more}"
    if question.spent and job.state != "deleted":
        said = f"By then it has run as often as maxruns ({job.maxruns}) allows"
        return ExplanationOutcome.COMPLETED, f"{said}, so it does not run at {when}."
    if at < question.horizon and question.clean:
        return ExplanationOutcome.RAN, explanations.unrecorded(when, question.tally)
    return _unaccounted(versions, at, question.now, when, zone)


def _outside(job: JobRow, question: Question, when: str, zone: str) -> tuple[ExplanationOutcome, str] | None:
    """That an instant is not of the time of which the job's rows tell; None: it is."""
    if question.at < job.createdat:
        return (
            ExplanationOutcome.NOT_CREATED,
            f"The job did not exist yet: it was created at {local(job.createdat, zone)}.",
        )
    if question.at < question.history:
        said = explanations.before_history(when, local(question.history, zone), question.tally)
        return ExplanationOutcome.BEFORE_HISTORY, said
    if job.deletedat is not None and question.at > job.deletedat:
        return ExplanationOutcome.DELETED, f"The job was deleted at {local(job.deletedat, zone)}."
    return None


def _unaccounted(
    versions: ScheduleVersions, at: datetime, now: datetime, when: str, zone: str
) -> tuple[ExplanationOutcome, str]:
    """Called for, and without a log."""
    job, pause = versions.job, versions.pause_at(min(at, now))
    if job.state == "paused":
        how = explanations.paused(pause, zone) if pause else ", and has been since it was created"
        return ExplanationOutcome.PAUSED, f"The job is paused{how}; {when} is handled when it is resumed."
    if job.state == "completed":
        return ExplanationOutcome.COMPLETED, f"The job is completed, so it does not run at {when}."
    if job.nextoccurrence is None or at < job.nextoccurrence:
        return (
            ExplanationOutcome.MISSING,
            f"The schedule includes {when}, but there is no record of it.",
        )
    return ExplanationOutcome.EXPECTED, _still_to_come(versions, at, now, when)


def _still_to_come(versions: ScheduleVersions, at: datetime, now: datetime, when: str) -> str:
    block = versions.at(at).schedule.block(at)
    if block is not None:
        return f"It will not run at {when}, because {SKIPS[Reason(block)].because}."
    if at > now:
        return f"{when} is scheduled and in the future."
    return f"{when} is due; it runs as the misfire policy ({versions.job.misfire}) says."


async def _held_back(session: Session, logs: Sequence[Log], now: datetime, zone: str, hostlimit: int) -> str:
    """What keeps a call waiting that is due, as a further sentence; empty: nothing is known to."""
    for log in logs:
        if log.status != "pending" or log.host is None or log.nextrun is None or log.nextrun > now:
            continue
        down = await breakers.down(session, log.host)
        if down is not None and down.openuntil is not None:
            since, until = local(down.since, zone), local(down.openuntil, zone)
            return f" {log.host} has been unreachable since {since} ({down.error}). Next try at {until}."
        if limit := await limits.holding_back(session, now, log.jobid, log.host, hostlimit):
            return f" {limit}"
        if await pending.is_running(session, log.jobid):
            return " Another run of the job is in progress."
    return ""


def _edited(budget: Budget, versions: ScheduleVersions, at: datetime, zone: str) -> str:
    """That an earlier schedule called for the instant, if one did."""
    for version in budget.within(versions.all):
        if version.to is not None and version.to < at and version.schedule.calls_for(at):
            return f" It did until the job was edited at {local(version.to, zone)}."
    return ""
