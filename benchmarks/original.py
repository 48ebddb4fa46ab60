"""The algorithm that the service began with: one row at a time through the ORM, one commit at the end."""

from datetime import datetime, timedelta
from time import perf_counter

from sqlalchemy import func, select
from sqlalchemy.engine import URL
from sqlalchemy.orm import DeclarativeBase, Mapped, Session

from benchmarks.contestants import service_pass
from benchmarks.due_jobs import refill
from benchmarks.results import Row, at_least, ratios
from benchmarks.server import bare_connection, fresh_database, service_database
from benchmarks.sizes import Sizes
from scheduler_api.database import tables
from scheduler_api.database.engine import Database
from scheduler_api.database.tables.jobs import job
from scheduler_api.database.tables.runs import joblog

QUESTION = "the original algorithm (each log, its job, a flush for each, one commit) against today's"


class Base(DeclarativeBase):
    metadata = tables.metadata


class Job(Base):
    __table__ = job
    jobid: Mapped[int]
    repeat: Mapped[bool]
    interval: Mapped[int]
    active: Mapped[bool]


class JobLog(Base):
    __table__ = joblog
    jobid: Mapped[int]
    scheduledfor: Mapped[datetime]
    nextrun: Mapped[datetime | None]
    lastrun: Mapped[datetime | None]
    startedat: Mapped[datetime | None]
    finishedat: Mapped[datetime | None]
    status: Mapped[str]


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    original: list[float] = []
    service: list[float] = []
    few, many = sizes.due_for_original, sizes.due[0]
    async with (
        fresh_database(server) as url,
        service_database(url) as database,
        bare_connection(url) as connection,
    ):
        for _ in range(sizes.repetitions):
            await refill(connection, few)
            original.append(await original_pass(database))
            await refill(connection, many)
            service.append(await service_pass(database))
    return [
        # It slows down as more is due, so that few favour it.
        Row(f"the original, {few:,} due", original, "runs/s"),
        Row(f"service, {many:,} due", service, "runs/s"),
        Row("service ÷ the original", ratios(service, original), "times", sizes.judged(at_least(40))),
    ]


async def original_pass(database: Database) -> float:
    """Everything due, in one transaction; runs per second."""
    began = perf_counter()
    async with database.engine.connect() as connection:
        done = await connection.run_sync(lambda sync: _run_all_due(Session(sync)))
    return done / (perf_counter() - began)


def _run_all_due(session: Session) -> int:
    now = session.scalars(select(func.clock_timestamp())).one()
    due = session.scalars(select(JobLog).where(JobLog.status == "pending", JobLog.nextrun <= now)).all()
    for log in due:
        job = session.get_one(Job, log.jobid)
        log.status, log.nextrun = "finished", None
        log.lastrun = log.startedat = log.finishedat = now
        # The promise rests on the verdict: only one is allowed at a time.
        session.flush()
        if job.repeat:
            following = log.scheduledfor + timedelta(seconds=job.interval)
            session.add(JobLog(jobid=job.jobid, scheduledfor=following, nextrun=following, lastrun=now))
        else:
            job.active = False
        session.flush()
    session.commit()
    return len(due)
