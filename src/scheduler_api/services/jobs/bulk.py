"""One order to many jobs, in bounded batches; each job is done as a whole or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from scheduler_api.actors import Actor
from scheduler_api.contracts.jobs.actions import History, Pause, Resume
from scheduler_api.contracts.jobs.bulk import BulkAction, BulkFailure, BulkOrder
from scheduler_api.contracts.jobs.job import JobState
from scheduler_api.database.failures import DATABASE_ERRORS, is_locked
from scheduler_api.database.jobs import definitions, lists
from scheduler_api.database.jobs.lists import JobFilter, Lookup, Position
from scheduler_api.database.singly import HURRY, MAX_WAITS, NO_WAIT
from scheduler_api.database.statements import Session, command, savepoint
from scheduler_api.errors import DatabaseBusy, FieldError, JobNotFound, SchedulerError
from scheduler_api.services.jobs import actions, editing, locking, together
from scheduler_api.services.jobs.locking import LockedJob

#: Jobs that are looked for at once; those of them that one transaction does, all at once; and seconds after
#: which it takes no further single job.
LOOK, BATCH, BATCH_SECONDS = 20_000, 500, 1.0


@dataclass
class BatchReport:
    """What one batch did."""

    done: list[int] = field(default_factory=list)
    unchanged: int = 0
    failures: list[BulkFailure] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    """Those that are to be done singly, in a transaction of their own."""


class Asked(NamedTuple):
    """What was asked, and by whom."""

    order: BulkOrder
    actor: Actor
    pauseid: UUID | None
    """Names what is paused by it."""
    projects: Sequence[str] | None = None
    """Where it may be done; None: everywhere."""


def filter_of(order: BulkOrder, projects: Sequence[str] | None) -> JobFilter:
    """Which jobs are meant, of the projects in which it may be done."""
    return JobFilter(**order.filter.model_dump(), pauseid=order.pauseid, projects=projects)


async def count(session: Session, wanted: JobFilter) -> int:
    """How many jobs there are."""
    return await lists.count(session, await lists.lookup(session, wanted))


async def errors_in(session: Session, order: BulkOrder) -> tuple[FieldError, ...]:
    """What is wrong with an order now, whichever jobs it is for."""
    if order.action is not BulkAction.PAUSE:
        return ()
    return actions.errors_in_end(await definitions.clock(session), order.until)


async def matching(session: Session, asked: Asked, after: int) -> list[int]:
    """The next jobs that are meant, after a jobid; fewer than LOOK: there are no more."""
    looked_up = await lists.lookup(session, filter_of(asked.order, asked.projects))
    # All of a few are found by what they have in common; very many are come upon in the order of their ids.
    if not after and len(all_of_them := await lists.some(session, looked_up, LOOK)) < LOOK:
        return sorted(all_of_them)
    found = await lists.positions(session, looked_up, "jobid", Position(after, None), LOOK)
    return [position.jobid for position in found]


async def run_batch(session: Session, now: datetime, asked: Asked, jobids: Sequence[int]) -> BatchReport:
    """Do what is ordered with those of these jobs that are meant still; with ordinary ones, all at once."""
    states = await _states(session, await _lookup(session, asked), jobids)
    wanted = [jobid for jobid, state in sorted(states.items()) if not _is_so(asked.order.action, state)]
    report = BatchReport(unchanged=len(states) - len(wanted))
    report.done = sorted(await _together(session, now, asked, wanted)) if wanted else []
    report.left = sorted({*wanted}.difference(report.done))
    return report


async def _lookup(session: Session, asked: Asked) -> Lookup:
    """How to look for those of some jobs that are meant."""
    return await lists.lookup(session, filter_of(asked.order, asked.projects)._replace(jobids=()))


async def _states(session: Session, meant: Lookup, jobids: Sequence[int]) -> dict[int, str]:
    """In which state those of the jobs are that are meant, as they are now."""
    among = meant._replace(values={**meant.values, "jobids": jobids})
    found = await lists.positions(session, among, "jobid", None, len(jobids))
    return await lists.states(session, [position.jobid for position in found])


async def run_singly(
    session: Session, now: datetime, asked: Asked, jobids: Sequence[int], waits: int = 0
) -> BatchReport:
    """Do it with each of these by itself, for about so long as a transaction may take.

    One that another transaction holds fails alone. It is waited for, but the less long the more `waits` there
    were in vain already.
    """
    report = BatchReport()
    meant = await _lookup(session, asked)
    if waits:
        await command(session, HURRY if waits < MAX_WAITS else NO_WAIT)
    give_up = monotonic() + BATCH_SECONDS
    for number, jobid in enumerate(jobids):
        # Locks of all these jobs are held meanwhile; the next batch goes on from here.
        if number and monotonic() >= give_up:
            report.left = list(jobids[number:])
            break
        try:
            async with savepoint(session):
                await _one(session, now, asked, meant, jobid, report)
        except JobNotFound:
            continue
        except SchedulerError as error:
            report.failures.append(BulkFailure(jobid=jobid, code=error.code, detail=str(error)))
        except DATABASE_ERRORS as error:
            if not is_locked(error):
                raise
            busy = DatabaseBusy("Another transaction holds the job; try again.")
            report.failures.append(BulkFailure(jobid=jobid, code=busy.code, detail=str(busy)))
    return report


async def _one(
    session: Session, now: datetime, asked: Asked, meant: Lookup, jobid: int, report: BatchReport
) -> None:
    """Do it with one job, if that is still meant once it is locked."""
    order, actor = asked.order, asked.actor
    locked = None
    if order.action is BulkAction.RUN:
        await definitions.share(session, jobid)
    else:
        locked = await locking.lock(session, now, jobid, deleted=True)
    state = (await _states(session, meant, [jobid])).get(jobid)
    if state is None:
        return
    if _is_so(order.action, state):
        report.unchanged += 1
        return
    match order.action, locked:
        case BulkAction.PAUSE, LockedJob():
            wanted = Pause.model_construct(reason=order.reason, until=order.until)
            await actions.pause_locked(session, actor, locked, wanted, asked.pauseid)
        case BulkAction.RESUME, LockedJob():
            await actions.resume_locked(session, actor, locked, Resume.model_construct(missed=order.missed))
        case BulkAction.RUN, _:
            await actions.run_now(session, now, actor, jobid)
        case BulkAction.DELETE, _:
            await editing.delete(session, now, actor, jobid, order.history)
    report.done.append(jobid)


async def _together(session: Session, now: datetime, asked: Asked, jobids: Sequence[int]) -> Sequence[int]:
    """Do it with those that are ordinary; which."""
    order, actor = asked.order, asked.actor
    match order.action:
        case BulkAction.PAUSE:
            assert asked.pauseid is not None
            wanted = Pause.model_construct(reason=order.reason, until=order.until)
            return await together.pause(session, now, actor, jobids, wanted, asked.pauseid)
        case BulkAction.RESUME:
            return await together.resume(session, now, actor, jobids, order.missed)
        case BulkAction.RUN:
            return await together.run_now(session, now, actor, jobids)
        case BulkAction.DELETE if order.history is History.KEEP:
            return await together.delete(session, now, actor, jobids)
    return ()


def _is_so(action: BulkAction, state: str) -> bool:
    """Whether the job is already what it would become: then its reason and its end stay, too."""
    if action is BulkAction.PAUSE:
        return state == JobState.PAUSED
    return action is BulkAction.RESUME and state == JobState.ACTIVE
