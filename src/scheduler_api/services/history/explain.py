"""Why a job did, or did not, run at an instant."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from scheduler_api.computing import QUESTIONS
from scheduler_api.contracts.history.explanation import Explanation, ExplanationOutcome
from scheduler_api.contracts.runs.logs import Log
from scheduler_api.database.runs import breakers, logs, pending
from scheduler_api.database.statements import Session
from scheduler_api.schedule import Block, Budget, Schedule
from scheduler_api.schedule.wording import describe, local, note
from scheduler_api.services.history.upcoming import occurrence_of
from scheduler_api.services.history.versions import ScheduleVersions, versions_of
from scheduler_api.services.system import limits

SECOND = timedelta(seconds=1)
#: Why an occurrence was skipped, as the end of a sentence.
BECAUSE = {
    "misfire": "it missed its grace period, and the misfire policy is `skip`",
    "paused": "the job was paused",
    "excluded": "the day is excluded",
    "overlap": "the previous run was still running",
    "dst-gap": "daylight saving skipped that hour",
    "until": "it was found after the end of the schedule",
    "superseded": "the job was edited before it ran",
    "deleted": "the job was deleted before it ran",
    "request": "it was skipped manually",
    "cancelled": "it was cancelled",
}


async def explain(session: Session, now: datetime, jobid: int, at: datetime, hostlimit: int) -> Explanation:
    """What became of an instant, and why. Raises JobNotFound, ScheduleUnusable.

    `hostlimit` is how many calls at once a host gets that has no limit of its own.
    """
    versions = await versions_of(session, jobid)
    rows = await logs.around(session, jobid, at, at + SECOND)
    spent = await _is_spent(session, versions, at)
    answer = await QUESTIONS.compute(_answer, now, at, versions, rows, spent)
    if answer.outcome is ExplanationOutcome.SCHEDULED:
        zone = versions.at(at).definition.timezone
        answer.sentence += await _held_back(session, answer.logs, now, zone, hostlimit)
    return answer


def _answer(
    budget: Budget,
    now: datetime,
    at: datetime,
    versions: ScheduleVersions,
    rows: Sequence[Mapping[str, Any]],
    spent: bool,
) -> Explanation:
    version = versions.at(at)
    schedule, zone = version.schedule, version.definition.timezone
    scheduled = version.own.calls_for(at)
    logs = _telling(versions, [Log.model_validate(dict(row)) for row in rows], at, scheduled)
    outcome, sentence = _judge(budget, versions, at, now, scheduled=scheduled, spent=spent, logs=logs)
    before, after = schedule.last_before(at), schedule.next_after(at)
    return Explanation(
        at=at,
        outcome=outcome,
        sentence=sentence,
        schedule=describe(version.definition),
        scheduled=scheduled,
        note=note(schedule, zone, at) if scheduled else None,
        logs=logs,
        before=None if before is None else occurrence_of(schedule, zone, before, now),
        after=None if after is None else occurrence_of(schedule, zone, after, now),
    )


async def _is_spent(session: Session, versions: ScheduleVersions, at: datetime) -> bool:
    """Whether the job will have run, before the instant, as often as it may."""
    job = versions.job
    if job["maxruns"] is None:
        return False
    runs = (await logs.standing(session, job["jobid"]))["runs"] or 0
    first = job["promised"] or job["resumefrom"]
    ahead = 0 if first is None or first >= at else versions.all[-1].own.counts(first, at)[0]
    return bool(runs + ahead >= job["maxruns"])


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
    budget: Budget,
    versions: ScheduleVersions,
    at: datetime,
    now: datetime,
    *,
    scheduled: bool,
    spent: bool,
    logs: Sequence[Log],
) -> tuple[ExplanationOutcome, str]:
    job, version = versions.job, versions.at(at)
    zone = version.definition.timezone
    when = local(at, zone)
    for log in logs:
        # The schedule's own verdict says more than a run by request at the same time.
        if log.cause == "schedule" or not scheduled:
            return _of_log(log, at, zone)
    if at < job["createdat"]:
        return (
            ExplanationOutcome.NOT_CREATED,
            f"The job did not exist yet: it was created at {local(job['createdat'], zone)}.",
        )
    if job["deletedat"] is not None and at > job["deletedat"]:
        return ExplanationOutcome.DELETED, f"The job was deleted at {local(job['deletedat'], zone)}."
    if not scheduled:
        edited = _edited(budget, versions, at, zone)
        said = f"The schedule does not include {when}.{edited}{_neighbours(version.schedule, at, zone)}"
        return ExplanationOutcome.NOT_SCHEDULED, said
    if spent and job["state"] != "deleted":
        said = f"By then it has run as often as maxruns ({job['maxruns']}) allows"
        return ExplanationOutcome.COMPLETED, f"{said}, so it does not run at {when}."
    return _unaccounted(versions, at, now, when, zone)


def _unaccounted(
    versions: ScheduleVersions, at: datetime, now: datetime, when: str, zone: str
) -> tuple[ExplanationOutcome, str]:
    """Called for, and without a log."""
    job, pause = versions.job, versions.pause_at(min(at, now))
    if job["state"] == "paused":
        how = _pause(pause, zone) if pause else ", and has been since it was created"
        return ExplanationOutcome.PAUSED, f"The job is paused{how}; {when} is handled when it is resumed."
    if job["state"] == "completed":
        return ExplanationOutcome.COMPLETED, f"The job is completed, so it does not run at {when}."
    if job["promised"] is None or at < job["promised"]:
        return (
            ExplanationOutcome.MISSING,
            f"The schedule includes {when}, but there is no record of it.",
        )
    return ExplanationOutcome.EXPECTED, _still_to_come(versions, at, now, when)


def _still_to_come(versions: ScheduleVersions, at: datetime, now: datetime, when: str) -> str:
    block = versions.at(at).schedule.block(at)
    if block is not None:
        return f"It will not run at {when}, because {BECAUSE[block]}."
    if at > now:
        return f"{when} is scheduled and in the future."
    return f"{when} is due; it runs as the misfire policy ({versions.job['misfire']}) says."


def _of_log(log: Log, at: datetime, zone: str) -> tuple[ExplanationOutcome, str]:
    when = local(at, zone)
    if log.cause == "manual":
        return _of_request(log, when, zone)
    if log.scheduledfor < at:
        done = "ran" if log.status == "finished" else f"was {log.status}"
        why = f" because {BECAUSE[log.reason]}" if log.reason else ""
        own = f"the run of {local(log.scheduledfor, zone)}, which {done}{why}"
        return ExplanationOutcome.COUNTED, f"{when} is covered by {own}."
    return _of_verdict(log, at, when, zone)


def _of_request(log: Log, when: str, zone: str) -> tuple[ExplanationOutcome, str]:
    asked = f"a run was requested at {local(log.scheduledfor, zone)}"
    if log.status == "finished":
        return ExplanationOutcome.RAN, f"The schedule does not include {when}, but {asked}, and it ran."
    outcome = ExplanationOutcome.SCHEDULED if log.status == "pending" else ExplanationOutcome(log.status)
    return outcome, f"The schedule does not include {when}, but {asked}; it is {log.status}."


def _of_verdict(log: Log, at: datetime, when: str, zone: str) -> tuple[ExplanationOutcome, str]:
    if log.status == "finished" and log.startedat is not None:
        late = (log.startedat - at).total_seconds()
        more = f", and covers {log.missed} missed run{'' if log.missed == 1 else 's'}" if log.missed else ""
        return (
            ExplanationOutcome.RAN,
            f"It ran at {local(log.startedat, zone)}, {late:.1f} s after {when}{more}.",
        )
    if log.status == "skipped" and log.reason is not None:
        return ExplanationOutcome.SKIPPED, f"It did not run at {when}, because {BECAUSE[log.reason]}."
    if log.status == "pending" and log.nextrun is not None and log.attempt > 1:
        tried = f"attempt {log.attempt} is due at {local(log.nextrun, zone)}"
        return ExplanationOutcome.SCHEDULED, f"{when} has not succeeded yet; {tried}."
    if log.status == "pending" and log.nextrun is not None:
        return ExplanationOutcome.SCHEDULED, f"{when} is scheduled; it starts at {local(log.nextrun, zone)}."
    if log.status == "failed":
        return ExplanationOutcome.FAILED, f"{when} failed: {log.error}"
    since = f" since {local(log.lastrun, zone)}" if log.lastrun else ""
    return ExplanationOutcome.RUNNING, f"The run of {when} is in progress: attempt {log.attempt}{since}."


async def _held_back(session: Session, logs: Sequence[Log], now: datetime, zone: str, hostlimit: int) -> str:
    """What keeps a call waiting that is due, as a further sentence; empty: nothing is known to."""
    for log in logs:
        if log.status != "pending" or log.host is None or log.nextrun is None or log.nextrun > now:
            continue
        down = await breakers.down(session, log.host)
        if down is not None and down["openuntil"] is not None:
            since, until = local(down["since"], zone), local(down["openuntil"], zone)
            return f" {log.host} has been unreachable since {since} ({down['error']}). Next try at {until}."
        if limit := await limits.holding_back(session, now, log.jobid, log.host, hostlimit):
            return f" {limit}"
        if await pending.running(session, log.jobid):
            return " Another run of the job is in progress."
    return ""


def _edited(budget: Budget, versions: ScheduleVersions, at: datetime, zone: str) -> str:
    """That an earlier schedule called for the instant, if one did."""
    for version in budget.within(versions.all):
        if version.to is not None and version.to < at and version.schedule.calls_for(at):
            return f" It did until the job was edited at {local(version.to, zone)}."
    return ""


def _neighbours(schedule: Schedule, at: datetime, zone: str) -> str:
    before, after = schedule.last_before(at), schedule.next_after(at)
    said = f" The previous run is {local(before, zone)}" if before else " There is no previous run"
    return said + (f", the next {local(after, zone)}." if after else ", and no next one.")


def _pause(pause: dict[str, Any], zone: str) -> str:
    said = f" since {local(pause['at'], zone)}"
    if pause["client"]:
        said += f" by {pause['client']}"
    reason = (pause["after"] or {}).get("reason")
    return said + (f" ({reason})" if reason else "")
