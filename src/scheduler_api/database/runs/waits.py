"""What waits for an instant that a clock that was ahead has shown: it waits no longer than it would have."""

from datetime import datetime

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE

# A retry that was decided at an instant that is yet to come. A transaction that began a moment after this one
# may have ended an attempt since.
RETRIES = Statement(
    f"""
    WITH ahead AS (
        SELECT joblog.logid, ended.finishedat
        FROM joblog
        JOIN logattempt AS ended ON ended.{LIVE} AND ended.logid = joblog.logid
             AND ended.attempt = joblog.attempt - 1
        WHERE joblog.{LIVE} AND joblog.status = 'pending' AND joblog.attempt > 1 AND joblog.nextrun > :now
          AND ended.finishedat > CAST(:now AS timestamptz) + interval '1 second'
        ORDER BY joblog.logid LIMIT :limit FOR UPDATE OF joblog SKIP LOCKED
    )
    UPDATE joblog
    SET nextrun = CAST(:now AS timestamptz) + greatest(interval '0', joblog.nextrun - ahead.finishedat)
    FROM ahead WHERE joblog.{LIVE} AND joblog.logid = ahead.logid
    RETURNING joblog.logid
    """
)
HOSTS = Statement(
    """
    UPDATE hostfailure SET openuntil = CAST(:now AS timestamptz) + make_interval(secs => :longest)
    WHERE openuntil > CAST(:now AS timestamptz) + make_interval(secs => :longest)
    RETURNING host
    """
)
# A rate never runs further ahead than a minute.
RATES = Statement(
    """
    UPDATE concurrencylimit SET busyuntil = CAST(:now AS timestamptz) + interval '1 minute'
    WHERE busyuntil > CAST(:now AS timestamptz) + interval '2 minutes'
    RETURNING name
    """
)


async def shorten_retries(session: Session, now: datetime, limit: int) -> list[int]:
    """Let up to `limit` retries wait from now on as long as they would have from then on; their logids."""
    return await session.values(RETRIES, now=now, limit=limit)


async def shorten_hosts(session: Session, now: datetime, longest: float) -> list[str]:
    """Leave hosts alone for `longest` seconds at most; those of which it was longer."""
    return await session.values(HOSTS, now=now, longest=longest)


async def shorten_rates(session: Session, now: datetime) -> list[str]:
    """Let rates be used up for a minute at most; the names of those that were for longer."""
    return await session.values(RATES, now=now)
