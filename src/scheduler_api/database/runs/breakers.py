"""Statements on hosts that do not answer."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import any_, bindparam, delete, func, select

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.runs import LIVE
from scheduler_api.database.tables.system import hostfailure


class UnreachableHost(NamedTuple):
    """A host that does not answer."""

    host: str
    failures: int
    since: datetime
    openuntil: datetime | None
    """Until when nothing is sent to it; None: it has not failed often enough."""
    error: str


FAILED = Statement(
    """
    INSERT INTO hostfailure (host, failures, since, openuntil, error)
    SELECT host, failures, :now, NULL, error
    FROM unnest(CAST(:hosts AS text[]), CAST(:counts AS int[]), CAST(:errors AS text[]))
         AS failed (host, failures, error)
    ORDER BY host
    ON CONFLICT (host) DO UPDATE SET
        failures = hostfailure.failures + excluded.failures, error = excluded.error
    """
)
OPEN = Statement(
    """
    UPDATE hostfailure SET openuntil = CAST(:now AS timestamptz) + make_interval(secs =>
        least(:longest, CAST(:shortest AS float8) * power(2, least(20, (failures - :breaks) / :breaks))))
    WHERE host = ANY(:hosts) AND failures >= :breaks
    """
)
ANSWERED = Statement(delete(hostfailure).where(hostfailure.c.host == any_(bindparam("hosts"))))
#: In order, as others count failures of several; what they hold is no idle host.
FORGET = Statement(
    f"""
    WITH idle AS (
        SELECT host FROM hostfailure
        WHERE greatest(since, openuntil) < :before AND NOT EXISTS (
            SELECT FROM joblog WHERE {LIVE} AND host = hostfailure.host AND status = 'pending'
        ) AND NOT EXISTS (
            SELECT FROM joblog WHERE {LIVE} AND host = hostfailure.host AND status = 'running'
        )
        ORDER BY host FOR UPDATE SKIP LOCKED
    )
    DELETE FROM hostfailure USING idle WHERE hostfailure.host = idle.host
    """
)
LEFT_ALONE = Statement(
    select(func.count()).select_from(hostfailure).where(hostfailure.c.openuntil.is_not(None))
)
ALL_DOWN = Statement(
    select(*columns(hostfailure, UnreachableHost))
    .where(hostfailure.c.openuntil.is_not(None))
    .order_by(hostfailure.c.since, hostfailure.c.host)
    .limit(bindparam("limit")),
    UnreachableHost,
)
DOWN = Statement(
    select(*columns(hostfailure, UnreachableHost)).where(hostfailure.c.host == bindparam("host")),
    UnreachableHost,
)


async def failed(
    session: Session,
    now: datetime,
    failures: dict[str, tuple[int, str]],
    breaks: int,
    shortest: float,
    longest: float,
) -> None:
    """Count failures by host, each with the last error; from `breaks` on, call it no more for a while."""
    hosts = sorted(failures)
    counts, errors = [failures[host][0] for host in hosts], [failures[host][1] for host in hosts]
    await session.all(FAILED, now=now, hosts=hosts, counts=counts, errors=errors)
    bounds = {"breaks": breaks, "shortest": shortest, "longest": longest}
    await session.all(OPEN, now=now, hosts=hosts, **bounds)


async def answered(session: Session, hosts: Sequence[str]) -> None:
    """Forget the failures of hosts."""
    await session.all(ANSWERED, hosts=hosts)


async def forget(session: Session, before: datetime) -> None:
    """Forget the failures of hosts that no live log calls, and that were last left alone before then."""
    await session.all(FORGET, before=before)


async def left_alone(session: Session) -> int:
    """To how many hosts nothing is sent for now."""
    return int(await session.value(LEFT_ALONE))


async def all_down(session: Session, limit: int) -> list[UnreachableHost]:
    """Up to `limit` hosts that do not answer."""
    return await session.all(ALL_DOWN, limit=limit)


async def down(session: Session, host: str) -> UnreachableHost | None:
    """The failures of a host that does not answer; None: it does."""
    return await session.one_or_none(DOWN, host=host)
