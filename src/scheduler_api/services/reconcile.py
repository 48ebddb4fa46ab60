"""Healing: an active job that has lost its promise gets it back.

Nothing that this code does makes such a hole, as each verdict and the next promise are one transaction.
A restored backup, a hand in the database or a bug may: then the ledger goes on where it ended.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.database import jobs
from scheduler_api.schedule import Every, UnknownZone, instant_of, next_after

log = structlog.get_logger(__name__)


async def heal(session: AsyncSession, now: datetime, most: int) -> int:
    """Give up to `most` jobs their promise back, or retire them if they have no future; how many.

    Safe against other healers: the promise of an occurrence is unique.
    """
    rows = await jobs.holes(session, most)
    retired = []
    for row in rows:
        due = _next_promise(dict(row))
        log.warning("a job had lost its promise", jobid=row["jobid"], promised=due, at=now)
        if due is None:
            retired.append(row["jobid"])
        else:
            await jobs.promise(session, row["jobid"], due, row["lastrun"])
    if retired:
        await jobs.retire(session, retired)
    return len(rows)


def _next_promise(row: Mapping[str, Any]) -> datetime | None:
    """The first occurrence that the job's logs do not account for; it may be due already."""
    try:
        if row["scheduledfor"] is None:
            return instant_of(datetime.combine(row["startdate"], row["starttime"]), row["timezone"])
        if row["interval"] is None:
            return None
        interval = timedelta(seconds=row["interval"])
        accounted = row["scheduledfor"] + row["missed"] * interval
        return next_after(Every(row["scheduledfor"], interval), accounted)
    except (OverflowError, UnknownZone):
        return None
