"""Statements on limits: to a host, of jobs with a tag, or of a project."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, delete, select

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.runs import LIVE
from scheduler_api.database.tables.system import concurrencylimit


class StoredLimit(NamedTuple):
    """A limit: on a host, a tag or a project."""

    scope: str
    name: str
    limit: int | None
    rate: int | None


class LimitInUse(NamedTuple):
    """A limit that bounds a call, and how far it is used; of a host without one, the default's row."""

    scope: str
    name: str
    limit: int | None
    rate: int | None
    busyuntil: datetime | None
    """When all calls that have begun are paid for; None: none has."""
    number: int
    """How many are in progress."""


LIMITS = Statement(
    select(*columns(concurrencylimit, StoredLimit)).order_by(
        concurrencylimit.c.scope, concurrencylimit.c.name
    ),
    StoredLimit,
)
# Where a rate is changed, what it had used up counts on: the higher the new one, the shorter.
IS_SET = Statement("SELECT scope FROM concurrencylimit WHERE scope = :scope AND name = :name")
SET_LIMIT = Statement(
    """
    INSERT INTO concurrencylimit (scope, name, "limit", rate) VALUES (:scope, :name, :limit, :rate)
    ON CONFLICT (scope, name) DO UPDATE SET
        "limit" = excluded."limit", rate = excluded.rate,
        busyuntil = CASE WHEN concurrencylimit.busyuntil IS NOT NULL AND excluded.rate IS NOT NULL THEN
            CAST(:now AS timestamptz) + least(
                interval '1 minute',
                greatest(interval '0', concurrencylimit.busyuntil - CAST(:now AS timestamptz))
                * (CAST(concurrencylimit.rate AS float8) / excluded.rate)
            )
        END
    """
)
REMOVE_LIMIT = Statement(
    delete(concurrencylimit)
    .where(concurrencylimit.c.scope == bindparam("scope"), concurrencylimit.c.name == bindparam("name"))
    .returning(concurrencylimit.c.name)
)
#: What bounds a job's calls to a host, and how much of that is in progress.
LIMITING = Statement(
    f"""
    SELECT scope, name, "limit", rate, busyuntil, CASE scope
        WHEN 'host' THEN (
            SELECT count(*) FROM joblog
            WHERE {LIVE} AND status = 'running' AND kind = 'http' AND acceptedat IS NULL
              AND joblog.host = name
        )
        WHEN 'project' THEN (
            SELECT count(*) FROM joblog JOIN job USING (jobid)
            WHERE {LIVE} AND status = 'running' AND job.project = name
        )
        ELSE (SELECT count(*) FROM joblog JOIN job USING (jobid)
              WHERE {LIVE} AND status = 'running' AND job.tags @> ARRAY[name])
        END AS number
    FROM (
        SELECT scope, name, "limit", rate, busyuntil FROM concurrencylimit
        WHERE scope = 'host' AND name = :host
           OR scope = 'tag' AND name IN (SELECT unnest(tags) FROM job WHERE jobid = :jobid)
           OR scope = 'project' AND name = (SELECT project FROM job WHERE jobid = :jobid)
        UNION ALL
        SELECT 'host', :host, NULL, NULL, NULL
        WHERE NOT EXISTS (SELECT FROM concurrencylimit WHERE scope = 'host' AND name = :host)
    ) AS bound
    ORDER BY scope, name
    """,
    LimitInUse,
)


async def listing(session: Session) -> list[StoredLimit]:
    """All limits, in order."""
    return await session.all(LIMITS)


async def is_set(session: Session, scope: str, name: str) -> bool:
    """Whether there is a limit on that."""
    return await session.one_or_none(IS_SET, scope=scope, name=name) is not None


async def put(
    session: Session, now: datetime, scope: str, name: str, *, limit: int | None, rate: int | None
) -> None:
    """Set the limit of a tag or a host: at once, a minute, or both."""
    await session.all(SET_LIMIT, now=now, scope=scope, name=name, limit=limit, rate=rate)


async def remove(session: Session, scope: str, name: str) -> bool:
    """Lift a limit; whether there was one."""
    return await session.one_or_none(REMOVE_LIMIT, scope=scope, name=name) is not None


async def limiting(session: Session, jobid: int, host: str) -> list[LimitInUse]:
    """The limits on a job's calls to a host."""
    return await session.all(LIMITING, jobid=jobid, host=host)
