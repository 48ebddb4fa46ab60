"""How the service as a whole does: what is wrong, since when, and what to do."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from scheduler_api.contracts.alerts.issues import JobIssueKind
from scheduler_api.contracts.history.timeline import Bucket, Tally
from scheduler_api.contracts.system.overview import (
    Issue,
    LastError,
    LateRun,
    Overview,
    RunningRun,
    Storage,
)
from scheduler_api.database.alerts import issues as open_issues
from scheduler_api.database.alerts import outbox
from scheduler_api.database.jobs.lists import LATE
from scheduler_api.database.plans import planned_for_those
from scheduler_api.database.runs import breakers, history, passes
from scheduler_api.database.statements import Session
from scheduler_api.database.system import overview
from scheduler_api.database.system.overview import LateRow, RunningRow
from scheduler_api.schedule.days import boundary_after
from scheduler_api.services.system import troubles
from scheduler_api.services.system.troubles import OLD, SHOWN, STUCK, Replica
from scheduler_api.wording import issues

#: How far back runs are counted, and how many of them.
DAY, STRETCH, MAX_COUNTED = timedelta(days=1), timedelta(minutes=30), 50_000
#: How far ahead jobs are counted, and how many of them.
HOUR, MAX_SOON = timedelta(hours=1), 10_000
#: Issues of jobs that nothing else on the page tells of.
UNSEEN = [JobIssueKind.MISSED, JobIssueKind.STUCK, JobIssueKind.SILENT]


async def look(
    session: Session, now: datetime, replica: Replica, projects: Sequence[str] | None = None
) -> Overview:
    """Everything that an operator wants to know first: of all projects, or of some.

    Who sees some only is told of their jobs, and nothing of what all share.
    """
    async with planned_for_those(session, projects):
        return await _look(session, now, replica, projects)


async def _look(
    session: Session, now: datetime, replica: Replica, projects: Sequence[str] | None
) -> Overview:
    until = boundary_after(now, STRETCH)
    since = until - DAY
    totals = await overview.totals(session, since, now, STRETCH, MAX_COUNTED, projects)
    counts = {row.bucket: row for row in totals}
    total = counts.pop(None)
    running = await overview.running(session, SHOWN, projects)
    medians = await history.medians(session, sorted({row.jobid for row in running}))
    late = await overview.late(session, now - LATE, SHOWN, projects)
    error = await overview.last_error(session, projects)
    replicas = await overview.replicas(session)
    if projects is None:
        oldest = (await passes.oldest(session)).due
        stored = await troubles.storage_of(session, now, replica)
        shared = await _shared(session, now, replica, stored)
    else:
        oldest, stored, shared = late[0].nextrun if late else None, None, []
    return Overview(
        now=now,
        issues=[*shared, *_lateness(now, late, replicas), *await _jobs(session, now, projects)],
        total=Tally(**total.results),
        timeline=[
            Bucket(since=since + n * STRETCH, **(counts[n].results if n in counts else {}))
            for n in range(DAY // STRETCH)
        ],
        complete=total.looked < MAX_COUNTED,
        running=[_running(row, medians.get(row.jobid)) for row in running],
        late=[LateRun(**row._asdict()) for row in late],
        soon=await overview.soon(session, now, now + HOUR, MAX_SOON, projects),
        lag=0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()),
        oldestpending=oldest,
        replicas=replicas if projects is None else [],
        standby=replica.standby if projects is None else None,
        lasterror=error and LastError(**error._asdict()),
        storage=stored,
    )


async def _shared(session: Session, now: datetime, replica: Replica, stored: Storage) -> list[Issue]:
    """What is wrong with what all projects share."""
    return [
        *(trouble.issue for trouble in await troubles.of_service(session, now, replica, stored)),
        *(issues.host(now, row) for row in await breakers.all_down(session, SHOWN)),
        *(issues.unsent(now, at) for at in [await outbox.oldest(session, now)] if at and now - at > OLD),
    ]


def _running(row: RunningRow, usual: timedelta | None) -> RunningRun:
    return RunningRun(**row._asdict(), usual=usual and usual.total_seconds())


def _lateness(now: datetime, late: Sequence[LateRow], replicas: Sequence[str]) -> list[Issue]:
    if not late or now - late[0].nextrun < STUCK:
        return []
    return [issues.late(now, late, replicas, SHOWN)]


async def _jobs(session: Session, now: datetime, projects: Sequence[str] | None) -> list[Issue]:
    return [
        *(issues.failing(row) for row in await overview.failing(session, now - DAY, SHOWN, projects)),
        *(issues.given_up(row) for row in await overview.given_up(session, SHOWN, projects)),
        *(issues.beside_results(row) for row in await open_issues.of_kinds(session, UNSEEN, projects, SHOWN)),
        *(issues.repaired(row) for row in await overview.repaired(session, now - DAY, SHOWN, projects)),
    ]
