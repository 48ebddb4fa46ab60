"""Monitors: runs that are made elsewhere, and reported here.

The pending row of a monitor's next occurrence waits until its report is overdue; then a pass skips it as
`unreported`. A report begins it, if it has not begun, and ends it through the door of all results. It is
about the newest occurrence that has come: those before it were not reported, and are skipped. What nothing
was due for has a row beside the schedule, as a run that was asked for.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from scheduler_api.actors import Actor
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.runs.logs import LogStatus
from scheduler_api.contracts.runs.monitors import MonitorAddress, ReportedRun, Signal
from scheduler_api.database.jobs import changes, definitions, monitors
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.jobs.monitors import MonitorRow
from scheduler_api.database.runs import attempts, leases, logs, pending, reported
from scheduler_api.database.runs.due import DueLog, rules_of
from scheduler_api.database.runs.leases import LeasedLog
from scheduler_api.database.runs.logs import LogRow
from scheduler_api.database.statements import Session
from scheduler_api.errors import (
    DatabaseBusy,
    JobIsDeleted,
    JobIsNoMonitor,
    JobNotFound,
    MonitorNotFound,
    ScheduleUnusable,
)
from scheduler_api.schedule import TICK, Schedule
from scheduler_api.services.jobs import locking, planning
from scheduler_api.services.jobs.locking import LockedJob
from scheduler_api.services.jobs.planning import Carried
from scheduler_api.services.runs import judging
from scheduler_api.services.runs.ends import Ended
from scheduler_api.services.runs.holding import settle_held
from scheduler_api.services.runs.settling import Judged, settle
from scheduler_api.targets import Failure
from scheduler_api.targets.scrubbing import scrubbed, secrets_in

#: How early a report may be, as clocks differ; of occurrences that are closer, half of what lies between.
EARLY = timedelta(seconds=60)
#: Lines of a run that are kept, of one report and in all; and characters of each.
MAX_REPORTED, MAX_LINES, MAX_LINE = 200, 1000, 2000
#: Characters of an error.
MAX_ERROR = 500

#: What terminals take for colors, and what cannot be shown.
_UNSEEN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]|[\ud800-\udfff]")


async def take_report(session: Session, now: datetime, token: UUID, signal: Signal, text: str) -> ReportedRun:
    """Take a report of the monitor with this token, and the lines of its text. Raises MonitorNotFound."""
    monitor = await monitors.of_token(session, token)
    if monitor is None:
        raise MonitorNotFound("No monitor has this address.")
    running = await reported.lock_running(session, monitor.jobid)
    try:
        locked = await locking.lock(session, now, monitor.jobid)
    except (JobNotFound, JobIsDeleted):
        raise MonitorNotFound("No monitor has this address.") from None
    now = locked.now
    run = await _in_progress(session, locked, running, signal)
    until = now + timedelta(seconds=monitor.timeout)
    if run is None:
        run = await _begin(session, locked, monitor, until)
    elif signal is Signal.STARTED and run.leasetoken is not None:
        await leases.renew(session, [(run.logid, run.leasetoken)], until)
    lines = _lines(text, token)
    if lines:
        await attempts.add_lines(session, now, run, lines, MAX_LINES)
    status = "running"
    if signal is not Signal.STARTED:
        status = await settle_held(session, now, run, _end(run, signal, lines))
        await pending.announce(session)
    return ReportedRun(
        jobid=run.jobid, logid=run.logid, scheduledfor=run.scheduledfor, status=LogStatus(status)
    )


async def _in_progress(
    session: Session, locked: LockedJob, running: Sequence[int], signal: Signal
) -> LeasedLog | None:
    """The run that a report is about; None: it begins one.

    One that begins although the next occurrence has come has not reported its end: that has failed.
    """
    for logid in running:
        run = await leases.lock(session, logid)
        if run is None or run.status != "running":
            continue
        due = _newest(planning.schedule_in(run), locked.now) if run.following is not None else None
        if signal is not Signal.STARTED or due is None or run.following is None or due < run.following:
            return run
        error = "It did not report its end before the next one started."
        await settle_held(session, locked.now, run, _failed(run, Failure.SILENT, error))
    return None


async def _begin(session: Session, locked: LockedJob, monitor: MonitorRow, until: datetime) -> LeasedLog:
    """Let the run begin that is due, or one beside the schedule."""
    now, jobid = locked.now, monitor.jobid
    following: datetime | None = None
    log, schedule = await _due(session, locked)
    if log is None or schedule is None:
        rows: list[LogRow] = []
        instant = now
        while not rows:
            # Somebody else may have asked at the very same microsecond.
            rows = await logs.request(session, now, "manual", [(jobid, instant)])
            instant += datetime.resolution
        logid = rows[0].logid
    else:
        logid = log.logid
        future = planning.future_of(locked.job, Carried(log.lastrun, log.runs), schedule)
        following = future.ran(now).next_after(log.scheduledfor)
    await reported.mark_running(session, now, logid, until, following)
    run = await leases.lock(session, logid)
    assert run is not None
    return run


async def _due(session: Session, locked: LockedJob) -> tuple[DueLog | None, Schedule | None]:
    """The next run of a monitor, if its time has come; and its schedule. What came before is unreported."""
    now, jobid = locked.now, locked.job.jobid
    try:
        schedule = planning.schedule_in(locked.job)
    except ScheduleUnusable:
        return None, None
    due = _newest(schedule, now)
    while due is not None and schedule.block(due) is None:
        log = await _next_run(session, jobid)
        if log is None or log.scheduledfor > due:
            break
        if log.scheduledfor == due:
            return log, schedule
        rules = (await rules_of(session, [log])).get(jobid)
        if rules is None:
            raise DatabaseBusy("The job is being changed; try again.")
        result, beside = judging.unreported(log, locked.job, due - TICK)
        await settle(session, now, [Judged(log, rules, result, beside)])
    return None, None


async def _next_run(session: Session, jobid: int) -> DueLog | None:
    live = await pending.lock_live(session, jobid)
    found = next((log for log in live if log.status == "pending" and log.attempt == 1), None)
    return None if found is None else await reported.pending(session, found.logid)


def _newest(schedule: Schedule, now: datetime) -> datetime | None:
    """The newest occurrence that may have been reported by now; None: none has come."""
    following, last = schedule.next_after(now), schedule.last_before(now + TICK)
    if following is not None:
        beside = schedule.next_after(following) if last is None else last
        early = EARLY if beside is None else min(EARLY, abs(following - beside) / 2)
        if following - now <= early:
            return following
    return last


def _end(run: LeasedLog, signal: Signal, lines: Sequence[str]) -> Ended:
    assert run.leasetoken is not None
    if signal is Signal.FINISHED:
        return Ended(run.logid, run.leasetoken, "finished")
    said = next((line for line in reversed(lines) if line.strip()), None)
    error = "It reported a failure." if said is None else f"It reported a failure: {said.strip()}"
    return _failed(run, Failure.REPORTED, error[:MAX_ERROR])


def _failed(run: LeasedLog, failure: Failure, error: str) -> Ended:
    assert run.leasetoken is not None
    return Ended(run.logid, run.leasetoken, "failed", failure, error)


def _lines(text: str, token: UUID) -> list[str]:
    """The last lines of what was sent, without the address that it was sent to."""
    secrets = secrets_in({}, [str(token), token.hex])
    lines = [_UNSEEN.sub("", line).rstrip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return [scrubbed(line, secrets)[:MAX_LINE] for line in lines[-MAX_REPORTED:]]


async def address(session: Session, jobid: int, base: str) -> MonitorAddress:
    """Where the runs of a monitor are reported. Raises JobNotFound, JobIsNoMonitor."""
    token = await monitors.token_of(session, jobid)
    if token is None:
        await _require_there(session, jobid)
        raise JobIsNoMonitor(f"Job {jobid} is not a monitor.")
    return monitor_address(token, base)


async def change_address(
    session: Session, now: datetime, actor: Actor, jobid: int, base: str
) -> MonitorAddress:
    """Report the runs of a monitor elsewhere from now on. Raises JobNotFound, JobIsNoMonitor."""
    token = await monitors.renew_token(session, jobid)
    if token is None:
        await _require_there(session, jobid)
        raise JobIsNoMonitor(f"Job {jobid} is not a monitor.")
    await changes.record(session, now, actor, Event(ChangeAction.ADDRESS_CHANGED, jobid))
    return monitor_address(token, base)


async def _require_there(session: Session, jobid: int) -> None:
    job = await definitions.summary(session, jobid)
    if job is None:
        raise JobNotFound(jobid)
    if job.deletedat is not None:
        raise JobIsDeleted(jobid)


def monitor_address(token: UUID, base: str) -> MonitorAddress:
    """Where runs are reported with a token."""
    url = f"{base}/monitors/{token}"
    return MonitorAddress(url=url, starturl=f"{url}/start", failurl=f"{url}/fail")
