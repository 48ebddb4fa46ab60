"""Statements on monitors: jobs whose runs are made elsewhere, and reported at an address with a token."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, func, select, update

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.jobs import job


class MonitorRow(NamedTuple):
    """A monitor."""

    jobid: int
    timeout: int
    """Seconds that a run may take that has reported its start."""


_IS_THERE = (job.c.removedat.is_(None), job.c.deletedat.is_(None))
OF_TOKEN = Statement(
    select(job.c.jobid, job.c.monitor["timeout"].as_integer().label("timeout")).where(
        job.c.monitortoken == bindparam("token"), *_IS_THERE
    ),
    MonitorRow,
)
TOKEN = Statement(select(job.c.monitortoken).where(job.c.jobid == bindparam("jobid"), *_IS_THERE))
RENEW = Statement(
    update(job)
    .where(job.c.jobid == bindparam("jobid"), job.c.monitortoken.is_not(None), *_IS_THERE)
    .values(monitortoken=func.gen_random_uuid())
    .returning(job.c.monitortoken)
)


async def of_token(session: Session, token: UUID) -> MonitorRow | None:
    """The monitor that has this token."""
    return await session.one_or_none(OF_TOKEN, token=token)


async def token_of(session: Session, jobid: int) -> UUID | None:
    """The token of a job; None: it is no monitor, or not there."""
    found: UUID | None = await session.value(TOKEN, jobid=jobid)
    return found


async def renew_token(session: Session, jobid: int) -> UUID | None:
    """Give a monitor another token; None: there is no such monitor."""
    found: UUID | None = await session.value(RENEW, jobid=jobid)
    return found
