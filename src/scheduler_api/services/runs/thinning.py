"""Jobs that record failures only: what finished on a closed day is in its tally, and needs no rows."""

from datetime import date, datetime, timedelta

import structlog

from scheduler_api.database.runs import exports, thinning
from scheduler_api.database.statements import Session
from scheduler_api.services.runs.retention import Keep

log = structlog.get_logger(__name__)

DAY = timedelta(days=1)
#: Runs that go in one transaction.
BATCH = 2000


async def thin(session: Session, now: datetime, keep: Keep) -> int:
    """Let rows of closed days go, and say so before any of them does; of how many jobs."""
    end = (await exports.exported(session)).exportedto if keep.exported else date.max
    jobs = await thinning.set_horizons(session, end)
    if jobs:
        log.info("runs that finished on closed days go", jobs=jobs, at=now)
    return jobs


async def thin_some(session: Session, _: datetime) -> bool:
    """Let some of these rows go; whether more may be left."""
    turn = await thinning.next_day(session)
    if turn is None:
        return False
    if await thinning.drop_runs(session, turn, BATCH) < BATCH:
        await thinning.dropped_to(session, turn.jobid, turn.day + DAY)
    return True
