"""Looking for what does not happen: runs that do not begin, runs that do not end, jobs that do not succeed.

Each replica looks. One look is a suspicion, as a service that was down has much to catch up on: what another
look finds again a while later is noticed, under the lock of its job.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from scheduler_api.computing import in_turns
from scheduler_api.contracts.alerts.issues import IssueEnding, JobIssueKind
from scheduler_api.database.alerts import noticing as statements
from scheduler_api.database.alerts.noticing import Noticed
from scheduler_api.database.jobs import definitions
from scheduler_api.database.runs import watching
from scheduler_api.database.runs.watching import SuspectRun, WatchedJob
from scheduler_api.database.statements import Session
from scheduler_api.schedule import Schedule
from scheduler_api.services.alerts import noticing
from scheduler_api.services.jobs import planning
from scheduler_api.wording import alerts as words

#: What holds of jobs that say nothing else: after how many seconds a run that is due is late. A run is stuck
#: that takes so many times as long as 95 of 100 do, and longer than so many seconds.
LATE_AFTER, STUCK_TIMES, STUCK_AFTER = 60.0, 3.0, 60.0
#: A job is silent when so many of its occurrences have come since it succeeded, and this much time.
SILENT_RUNS, SILENT_GRACE = 2, timedelta(seconds=60)
#: Suspects that are looked at, at once; jobs that a step of a walk passes; issues that are looked at again.
MAX_SUSPECTS, WALK_BATCH, MAX_OVER = 500, 1000, 500
#: Occurrences that tell how far a job's runs are apart; and seconds of looking at them in one step.
MEASURED, MEASURE_SECONDS = 20, 0.2
#: Of a schedule with no two occurrences.
FOR_EVER = 2**31 - 1

#: What may be wrong: a job, of what kind, and the run if it is about one.
Suspicion = tuple[int, JobIssueKind, int]


class Walked(NamedTuple):
    """A step of a walk over jobs."""

    silent: list[Suspicion]
    distances: list[tuple[int, int]]
    """Of jobs of which nobody knew: seconds between two of their runs, at most."""
    last: int | None
    """The last job that was looked at; None: there was none left."""


async def suspect_runs(session: Session) -> list[Suspicion]:
    """Runs that may be late or stuck."""
    now = await definitions.clock(session)
    late = await watching.late_runs(session, now, LATE_AFTER, MAX_SUSPECTS)
    stuck = await watching.stuck_runs(session, now, STUCK_AFTER, STUCK_TIMES, MAX_SUSPECTS)
    return [(run.jobid, JobIssueKind.LATE, run.logid) for run in late] + [
        (run.jobid, JobIssueKind.STUCK, run.logid) for run in stuck
    ]


async def walk_jobs(session: Session, after: int) -> Walked:
    """Jobs above a jobid that may be silent, without any lock."""
    now = await definitions.clock(session)
    rows, last = await watching.walk(session, now, SILENT_GRACE, after, WALK_BATCH)
    looked = await in_turns(partial(_look, now), rows, MEASURE_SECONDS)
    if len(looked) < len(rows):
        last = rows[len(looked) - 1].jobid
    pairs = list(zip(rows, looked, strict=False))
    silent = [(row.jobid, JobIssueKind.SILENT, 0) for row, (is_silent, _) in pairs if is_silent]
    distances = [(row.jobid, distance) for row, (_, distance) in pairs if row.distance is None]
    return Walked(silent, distances, last)


def _look(now: datetime, row: WatchedJob) -> tuple[bool, int]:
    """Whether a job is silent, and how far its runs are apart at most."""
    try:
        schedule = planning.computed(row)
        return _is_silent(now, row, schedule), _distance(schedule, now)
    except (ArithmeticError, ValueError):
        # The claim of its next run will say so.
        return False, FOR_EVER


def _is_silent(now: datetime, row: WatchedJob, schedule: Schedule) -> bool:
    if row.silentafter is not None:
        return row.reference < now - timedelta(seconds=row.silentafter)
    before = now - SILENT_GRACE - planning.delay_of(row, row.jobid)
    if before <= row.reference:
        return False
    free, _ = schedule.counts(row.reference, before)
    return free >= SILENT_RUNS


def _distance(schedule: Schedule, now: datetime) -> int:
    longest, before = 0, None
    following = schedule.next_after(now)
    for _ in range(MEASURED):
        following = None if following is None else schedule.first_free(following)
        if following is None:
            break
        if before is not None:
            longest = max(longest, int((following - before).total_seconds()))
        before, following = following, schedule.next_after(following)
    return longest or FOR_EVER


async def keep_distances(session: Session, _: datetime, distances: Sequence[tuple[int, int]]) -> None:
    """Keep how far the runs of jobs are apart."""
    await watching.measured(session, distances)


async def verify(session: Session, now: datetime, found: Collection[Suspicion]) -> None:
    """Notice what is still wrong of what was found, of jobs that nobody else holds."""
    by_kind: Mapping[JobIssueKind, list[Suspicion]] = {
        kind: [one for one in found if one[1] is kind] for kind in JobIssueKind
    }
    late = [logid for _, _, logid in by_kind[JobIssueKind.LATE]]
    if late:
        rows = await watching.still_late(session, now, LATE_AFTER, late)
        await noticing.notice(session, now, [_noticed(now, JobIssueKind.LATE, row) for row in rows])
    stuck = [logid for _, _, logid in by_kind[JobIssueKind.STUCK]]
    if stuck:
        running = await watching.still_stuck(session, now, STUCK_AFTER, STUCK_TIMES, stuck)
        await noticing.notice(session, now, [_noticed(now, JobIssueKind.STUCK, row) for row in running])
    silent = [jobid for jobid, _, _ in by_kind[JobIssueKind.SILENT]]
    if silent:
        jobs = await watching.still_silent(session, now, SILENT_GRACE, silent)
        looked = await in_turns(partial(_look, now), jobs)
        quiet = [row for row, (is_silent, _) in zip(jobs, looked, strict=True) if is_silent]
        said = {row.jobid: words.silent_since(row.reference) for row in quiet}
        noticed = [Noticed(jobid, JobIssueKind.SILENT, error=error) for jobid, error in said.items()]
        await noticing.notice(session, now, noticed)


def _noticed(now: datetime, kind: JobIssueKind, run: SuspectRun) -> Noticed:
    said = words.late_since(now, run.since) if kind is JobIssueKind.LATE else words.stuck_since(now, run)
    return Noticed(run.jobid, kind, 1, run.scheduledfor, run.scheduledfor, run.logid, said)


async def clear(session: Session, now: datetime) -> None:
    """End what is over: late runs that have begun, stuck ones that have ended."""
    begun = await watching.no_longer_late(session, now, LATE_AFTER, MAX_OVER)
    ended = await watching.no_longer_stuck(session, MAX_OVER)
    for kind, jobids in ((JobIssueKind.LATE, begun), (JobIssueKind.STUCK, ended)):
        if jobids:
            await statements.end_open(session, now, IssueEnding.RECOVERED, [kind], dict.fromkeys(jobids))
