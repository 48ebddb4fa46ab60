"""What is wrong with jobs is noticed, and so is that it is over: in the transaction of what shows it.

All of this is about jobs that are locked. For each job and kind there is one open issue, or none: what is
noticed again adds to it, and is told once.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from scheduler_api.contracts.alerts.issues import IssueEnding, JobIssueKind
from scheduler_api.database.alerts import noticing as statements
from scheduler_api.database.alerts.noticing import Noticed
from scheduler_api.database.statements import Session

#: What is wrong only with a job that is to run by its schedule.
OF_SCHEDULE = (JobIssueKind.MISSED, JobIssueKind.LATE, JobIssueKind.SILENT)
#: What is wrong with runs.
OF_RUNS = (JobIssueKind.FAILED, JobIssueKind.STUCK)


async def notice(session: Session, now: datetime, noticed: Iterable[Noticed]) -> None:
    """Write down what is wrong with jobs, and have those told who are to be."""
    together: dict[tuple[int, JobIssueKind], Noticed] = {}
    for one in noticed:
        known = together.get((one.jobid, one.kind))
        together[one.jobid, one.kind] = one if known is None else known.and_then(one)
    if together:
        await statements.open_or_extend(session, now, list(together.values()))


async def succeeded(session: Session, now: datetime, began: dict[int, datetime]) -> None:
    """Runs of these jobs have finished, and began then: what was wrong with the jobs is over.

    That the service had paused a job is not: somebody has to resume it. Runs that are late or stuck are
    others than these.
    """
    kinds = [JobIssueKind.FAILED, JobIssueKind.MISSED, JobIssueKind.SILENT]
    await _end(session, now, IssueEnding.RECOVERED, kinds, began)


async def paused(session: Session, now: datetime, jobids: Collection[int], *, is_asked: bool) -> None:
    """Jobs were paused. Unless somebody `is_asked` for it, they still fail."""
    kinds = [*OF_SCHEDULE, *([JobIssueKind.FAILED, JobIssueKind.PAUSED] if is_asked else [])]
    await _end(session, now, IssueEnding.PAUSED, kinds, dict.fromkeys(jobids))


async def resumed(session: Session, now: datetime, jobids: Collection[int]) -> None:
    """Jobs go on."""
    await _end(session, now, IssueEnding.RESUMED, [JobIssueKind.PAUSED], dict.fromkeys(jobids))


async def edited(session: Session, now: datetime, jobid: int, *, schedule: bool, target: bool) -> None:
    """A job was edited: what was wrong by its old schedule, or with its old target, is over."""
    kinds = [*(OF_SCHEDULE if schedule else ()), *(OF_RUNS if target else ())]
    if kinds:
        await _end(session, now, IssueEnding.EDITED, kinds, {jobid: None})


async def deleted(session: Session, now: datetime, jobids: Collection[int]) -> None:
    """Jobs were deleted, or are about to be removed."""
    await _end(session, now, IssueEnding.DELETED, list(JobIssueKind), dict.fromkeys(jobids))


async def closed(session: Session, now: datetime, jobid: int, kind: JobIssueKind) -> None:
    """Somebody says that an issue is over."""
    await _end(session, now, IssueEnding.CLOSED, [kind], {jobid: None})


async def _end(
    session: Session,
    now: datetime,
    ending: IssueEnding,
    kinds: Sequence[JobIssueKind],
    jobs: dict[int, datetime] | dict[int, None],
) -> None:
    if jobs:
        await statements.end_open(session, now, ending, kinds, jobs)
