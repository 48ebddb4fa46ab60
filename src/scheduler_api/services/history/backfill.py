"""Making up for past occurrences, beside the schedule, which does not move."""

from collections.abc import Sequence
from datetime import datetime

from scheduler_api.actors import Actor
from scheduler_api.computing import QUESTIONS
from scheduler_api.contracts.history.backfill import Backfill, BackfillReport
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.jobs import changes, definitions
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.runs import logs, pending, tallies
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, JobIsDeleted, JobIsMonitor, JobNotFound, TooLong
from scheduler_api.schedule import Budget, occurrences
from scheduler_api.schedule.days import midnight
from scheduler_api.services.history.versions import ScheduleVersions, Version, versions_of
from scheduler_api.services.jobs import planning

#: The most occurrences that one backfill runs.
MOST = 1000


async def backfill(
    session: Session, now: datetime, actor: Actor, jobid: int, order: Backfill, *, dryrun: bool = False
) -> BackfillReport:
    """Ask for runs of the past occurrences of a range: of the holes, or of all.

    A hole is an occurrence that did not run: skipped, counted in another's log, or failed. Those on
    excluded days are none. Each occurrence is made up for at most once; what history does not tell of any
    more cannot be. Raises InvalidInput, JobNotFound, JobIsDeleted, TooLong.
    """
    if order.since >= order.until:
        raise InvalidInput(FieldError(("until",), "Must come after since."))
    locked = await definitions.share(session, jobid)
    if locked is None:
        raise JobNotFound(jobid)
    if locked.deletedat is not None:
        raise JobIsDeleted(jobid)
    if locked.kind == planning.MONITOR:
        raise JobIsMonitor(jobid)
    versions = await versions_of(session, jobid)
    await _require_kept(session, jobid, order)
    wanted = await _wanted(session, now, versions, order)
    # Once more after the rows were read: they go only when the horizon has moved.
    await _require_kept(session, jobid, order)
    if not dryrun:
        rows = await logs.request(session, now, "backfill", [(jobid, instant) for instant in wanted])
        wanted = sorted(row.scheduledfor for row in rows)
        if wanted:
            await pending.announce(session)
            said = order.model_dump(mode="json") | {"count": len(wanted)}
            await changes.record(session, now, actor, Event(ChangeAction.BACKFILLED, jobid, after=said))
    verb = "would run" if dryrun else "will run now"
    count = len(wanted)
    message = (
        f"{count} {'occurrence' if count == 1 else 'occurrences'} {verb}."
        if count
        else "Nothing to make up for."
    )
    return BackfillReport(count=count, dryrun=dryrun, occurrences=wanted, message=message)


async def _require_kept(session: Session, jobid: int, order: Backfill) -> None:
    """Raise InvalidInput where the range begins before the history that is kept."""
    known = await tallies.frontier(session, jobid)
    horizon = midnight(known.horizon)
    if order.since < horizon:
        gone = (
            "of earlier runs, only failures are recorded"
            if known.is_thinned
            else "earlier history is not kept"
        )
        sentence = f"Must not be before {horizon:%Y-%m-%dT%H:%M:%SZ}: {gone}."
        raise InvalidInput(FieldError(("since",), sentence))


async def _wanted(
    session: Session, now: datetime, versions: ScheduleVersions, order: Backfill
) -> list[datetime]:
    """The occurrences to run, in order. Raises InvalidInput where there are too many, and TooLong."""
    job = versions.job
    goes_on = job.goes_on or await _end(session, versions)
    ranges = []
    for version in versions.all:
        # What came before an edit is accounted for but where the schedule after it kept it.
        end = version.to + datetime.resolution if version.to else goes_on
        spent = await logs.spent(session, job.jobid, version.within, end, version.maxruns)
        before = min(order.until, now, end, spent or end)
        if order.since < before:
            ranges.append((version, order.since, before))
    if not ranges:
        return []
    called_for = await QUESTIONS.compute(_called_for, ranges)
    if not called_for:
        return []
    first, last = called_for[0], called_for[-1] + datetime.resolution
    done = set() if order.every else await logs.done(session, job.jobid, first, last)
    return [instant for instant in called_for if instant not in done]


def _called_for(budget: Budget, ranges: Sequence[tuple[Version, datetime, datetime]]) -> list[datetime]:
    """What the schedules of the job's past let run in their ranges, in order."""
    parts = []
    total = 0
    for version, first, end in ranges:
        if not budget.allows():
            break
        parts.append((version.own, first, end))
        total += version.own.counts(first, end)[0]
    if total > MOST:
        sentence = f"The range holds {total:,} occurrences; {MOST:,} at most can be backfilled at once."
        raise InvalidInput(FieldError(("until",), sentence))
    found = [
        instant
        for schedule, first, end in parts
        for instant in budget.within(occurrences(schedule, first, end))
        if schedule.block(instant) is None
    ]
    if budget.is_spent:
        raise TooLong("It takes too long to compute the occurrences of that range; ask for a shorter one.")
    return sorted(found)


async def _end(session: Session, versions: ScheduleVersions) -> datetime:
    """Where the rows of a job without a future end."""
    said = await logs.standing(session, versions.job.jobid)
    accounted: datetime = said.accounted or versions.job.validfrom
    return accounted + datetime.resolution
