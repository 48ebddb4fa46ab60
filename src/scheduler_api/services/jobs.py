"""Creating, reading and listing jobs."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.contracts import Job, JobDraft, JobWithLogs, Log
from scheduler_api.database import jobs
from scheduler_api.errors import Flaw, InvalidInput, JobNotFound
from scheduler_api.schedule import instant_of

#: Tickers look at least this often, so a promise further away needs no announcement. It would cost:
#: transactions that notify commit one after the other.
ANNOUNCE_WITHIN = timedelta(hours=1)

JOBS, LOGS = TypeAdapter(list[Job]), TypeAdapter(list[Log])


async def create(session: AsyncSession, now: datetime, draft: JobDraft) -> Job:
    """Create a job with the promise of its first run. Raises InvalidInput for a start that has passed."""
    start = _start_of(draft, now)
    nextrun = start if draft.active else None
    jobid = await jobs.create(session, draft.model_dump(), nextrun)
    if nextrun is not None and nextrun - now < ANNOUNCE_WITHIN:
        await jobs.announce(session)
    return Job(**draft.model_dump(), jobid=jobid, nextrun=nextrun, lastrun=None, laststatus=None)


async def get(session: AsyncSession, jobid: int) -> Job:
    """The job. Raises JobNotFound."""
    row = await jobs.one(session, jobid)
    if row is None:
        raise JobNotFound(jobid)
    return Job.model_validate(dict(row))


async def get_with_logs(
    session: AsyncSession, jobid: int, limit: int, before: int | None = None
) -> JobWithLogs:
    """The job and up to `limit` of its logs, newest first; with `before`, older than that logid."""
    job = await get(session, jobid)
    rows = await jobs.logs(session, jobid, before, limit)
    return JobWithLogs(job=job, logs=LOGS.validate_python([dict(row) for row in rows]))


async def listing(session: AsyncSession, after: int, limit: int) -> list[Job]:
    """Up to `limit` jobs with a jobid above `after`, in order."""
    return JOBS.validate_python([dict(row) for row in await jobs.page(session, after, limit)])


def _start_of(draft: JobDraft, now: datetime) -> datetime:
    """The instant of the first run, which must lie ahead."""
    wall = datetime.combine(draft.startdate, draft.starttime)
    try:
        start = instant_of(wall, draft.timezone)
    except OverflowError:
        raise InvalidInput(Flaw(("startdate",), "The start lies beyond the end of the calendar.")) from None
    if start > now:
        return start
    today = now.astimezone(ZoneInfo(draft.timezone))
    field = "starttime" if draft.startdate == today.date() else "startdate"
    clock = f"{today:%Y-%m-%d %H:%M:%S} in {draft.timezone}"
    raise InvalidInput(Flaw((field,), f"The start must be in the future; it is {clock} now."))
