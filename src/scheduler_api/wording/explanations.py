"""Why a job did, or did not, run at an instant: the sentences."""

from collections.abc import Sequence
from datetime import datetime

from scheduler_api.contracts.history.explanation import ExplanationOutcome
from scheduler_api.contracts.history.timeline import DayTally
from scheduler_api.contracts.runs.logs import Log, LogKind
from scheduler_api.database.jobs.changes import ChangeRow
from scheduler_api.schedule import Schedule
from scheduler_api.wording.runs import SKIPS
from scheduler_api.wording.schedules import local

#: What is said of a call that waits, to those who do not see all that it waits for.
HELD = " It waits for a limit, or for its host."


def of_log(log: Log, at: datetime, zone: str) -> tuple[ExplanationOutcome, str]:
    """What a log says of an instant that it is of, or that it covers."""
    when = local(at, zone)
    if log.cause == "manual":
        return _of_request(log, when, zone)
    if log.scheduledfor < at:
        done = "ran" if log.status == "finished" else f"was {log.status}"
        why = f" because {SKIPS[log.reason].because}" if log.reason else ""
        own = f"the run of {local(log.scheduledfor, zone)}, which {done}{why}"
        return ExplanationOutcome.COUNTED, f"{when} is covered by {own}."
    return _of_schedule(log, at, when, zone)


def _of_request(log: Log, when: str, zone: str) -> tuple[ExplanationOutcome, str]:
    asked = f"a run was requested at {local(log.scheduledfor, zone)}"
    if log.status == "finished":
        return ExplanationOutcome.RAN, f"The schedule does not include {when}, but {asked}, and it ran."
    outcome = ExplanationOutcome.SCHEDULED if log.status == "pending" else ExplanationOutcome(log.status)
    return outcome, f"The schedule does not include {when}, but {asked}; it is {log.status}."


def _of_schedule(log: Log, at: datetime, when: str, zone: str) -> tuple[ExplanationOutcome, str]:
    if log.status == "finished" and log.startedat is not None:
        return ExplanationOutcome.RAN, _ran(log, log.startedat, at, when, zone)
    if log.status == "skipped" and log.reason is not None:
        return ExplanationOutcome.SKIPPED, f"It did not run at {when}, because {SKIPS[log.reason].because}."
    if log.status == "failed":
        return ExplanationOutcome.FAILED, f"{when} failed: {log.error}"
    if log.status == "pending" and log.nextrun is not None:
        return ExplanationOutcome.SCHEDULED, _ahead(log, local(log.nextrun, zone), when)
    since = f" since {local(log.lastrun, zone)}" if log.lastrun else ""
    tried = "reported from elsewhere" if log.kind is LogKind.MONITOR else f"attempt {log.attempt}"
    return ExplanationOutcome.RUNNING, f"The run of {when} is in progress: {tried}{since}."


def _ran(log: Log, startedat: datetime, at: datetime, when: str, zone: str) -> str:
    more = f", and covers {log.missed} missed run{'' if log.missed == 1 else 's'}" if log.missed else ""
    if log.kind is LogKind.MONITOR and log.finishedat is not None:
        return f"It ran for {when}, and its end was reported at {local(log.finishedat, zone)}{more}."
    return f"It ran at {local(startedat, zone)}, {(startedat - at).total_seconds():.1f} s after {when}{more}."


def _ahead(log: Log, tried: str, when: str) -> str:
    if log.attempt > 1:
        return f"{when} has not succeeded yet; attempt {log.attempt} is due at {tried}."
    if log.kind is LogKind.MONITOR:
        return f"{when} is scheduled; its report is overdue at {tried}."
    return f"{when} is scheduled; it starts at {tried}."


def before_history(when: str, horizon: str, tally: DayTally | None) -> str:
    """That nothing is known of an instant but what became of all runs of its day."""
    said = f"{when} is before the history that is kept, which begins at {horizon}."
    return f"{said} {_counts(tally)}" if tally else f"{said} No runs were counted on that day (UTC)."


def unrecorded(when: str, tally: DayTally | None) -> str:
    """That a run finished, as the job records failures only, and all others of its day are recorded."""
    said = f"{when} finished. The job records failures only, so the run has no row."
    return f"{said} {_counts(tally)}" if tally else said


def _counts(tally: DayTally) -> str:
    """What became of all runs of a day."""
    counts = (
        (tally.finished, "finished"),
        (tally.failed, "failed"),
        (sum(tally.skipped.values()), "skipped"),
        (tally.missed, "missed"),
    )
    return f"On that day (UTC): {', '.join(f'{count:,} {name}' for count, name in counts)}."


def neighbours(schedule: Schedule, at: datetime, zone: str) -> str:
    """The runs before and after an instant, as a further sentence."""
    before, after = schedule.last_before(at), schedule.next_after(at)
    said = f" The previous run is {local(before, zone)}" if before else " There is no previous run"
    return said + (f", the next {local(after, zone)}." if after else ", and no next one.")


def in_calendars(names: Sequence[str]) -> str:
    """Which calendars have the day, as a further sentence; empty: none."""
    plural = "s" if len(names) > 1 else ""
    return f" The day is in the calendar{plural} {' and '.join(names)}." if names else ""


def paused(pause: ChangeRow, zone: str) -> str:
    """Since when, by whom and why a job is paused, to follow "The job is paused"."""
    said = f" since {local(pause.at, zone)}"
    if pause.client:
        said += f" by {pause.client}"
    reason = (pause.after or {}).get("reason")
    return said + (f" ({reason})" if reason else "")
