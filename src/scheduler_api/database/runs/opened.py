"""Statements on what of jobs is pending or in progress, whatever asked for it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, select, text

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.runs import LIVE, joblog


class OpenLog(NamedTuple):
    """A log that is pending or running, whatever asked for it."""

    jobid: int
    logid: int
    scheduledfor: datetime
    cause: str
    attempt: int

    @property
    def is_next_run(self) -> bool:
        """Whether its job goes on with it, if it is pending."""
        return self.cause == "schedule" and self.attempt == 1


LOCK_PENDING = Statement(
    f"""
    SELECT jobid, logid, scheduledfor, cause, attempt FROM joblog
    WHERE {LIVE} AND jobid = ANY(:jobids) AND status = 'pending' ORDER BY logid FOR UPDATE SKIP LOCKED
    """,
    OpenLog,
)
OPEN = Statement(
    f"""
    SELECT jobid, logid, scheduledfor, cause, attempt FROM joblog
    WHERE {LIVE} AND jobid = ANY(:jobids) AND status IN ('pending', 'running')
    """,
    OpenLog,
)
PENDING = Statement(
    select(*columns(joblog, OpenLog))
    .where(text(LIVE), joblog.c.jobid == bindparam("jobid"), joblog.c.status == "pending")
    .order_by(joblog.c.logid)
    .with_for_update(),
    OpenLog,
)


async def pending_of(session: Session, jobid: int) -> list[OpenLog]:
    """Every pending log of the job, whatever asked for it; locked."""
    return await session.all(PENDING, jobid=jobid)


async def lock_pending(session: Session, jobids: Sequence[int]) -> list[OpenLog]:
    """The pending logs of jobs that nobody else holds, locked until the end of the transaction."""
    return await session.all(LOCK_PENDING, jobids=jobids)


async def open_logs(session: Session, jobids: Sequence[int]) -> list[OpenLog]:
    """What of jobs is pending or running, by the newest state of the table."""
    return await session.all(OPEN, jobids=jobids)
