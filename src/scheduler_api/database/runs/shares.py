"""Who asks for places, and what limits in calls a minute leave: what claims of calls share out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE

# The oldest due calls tell which hosts have any. Where there are more than are looked at, those of one host
# may hide all others: then the index is walked from host to host, one step each, and as many steps at most.
ASKING = Statement(
    f"""
    WITH RECURSIVE head AS MATERIALIZED (
        SELECT host, jobid FROM joblog
        WHERE {LIVE} AND status = 'pending' AND kind = 'http' AND nextrun <= :due AND nextrun >= :floor
        ORDER BY nextrun, logid LIMIT :window
    ), walk (host, step) AS (
        (SELECT host, 1 FROM joblog
         WHERE {LIVE} AND status = 'pending' AND kind = 'http' AND host > :after
           AND (SELECT count(*) FROM head) = :window
         ORDER BY host LIMIT 1)
        UNION ALL
        SELECT (SELECT joblog.host FROM joblog
                WHERE {LIVE} AND status = 'pending' AND joblog.kind = 'http' AND joblog.host > walk.host
                ORDER BY joblog.host LIMIT 1), step + 1
        FROM walk WHERE walk.host IS NOT NULL AND step < :steps
    )
    SELECT found.host, oldest.nextrun, (SELECT count(*) FROM head) < :window AS whole,
           (SELECT host FROM walk WHERE step = :steps) AS walked, oldest.jobid || repeated AS jobids
    FROM (
        SELECT host, array_agg(jobid) FILTER (WHERE calls > 1) AS repeated
        FROM (SELECT host, jobid, count(*) AS calls FROM head GROUP BY host, jobid) AS jobs GROUP BY host
        UNION ALL
        SELECT host, NULL FROM walk WHERE host IS NOT NULL AND host NOT IN (SELECT host FROM head)
    ) AS found
    CROSS JOIN LATERAL (
        SELECT nextrun, logid, jobid FROM joblog
        WHERE {LIVE} AND status = 'pending' AND kind = 'http' AND joblog.host = found.host
          AND nextrun <= :due AND nextrun >= :floor
        ORDER BY nextrun, logid LIMIT 1
    ) AS oldest
    ORDER BY oldest.nextrun, oldest.logid
    """
)
#: A limit that another claim counts, or somebody changes, is left alone: its calls wait for the next claim.
LOCK_LIMITS = Statement(
    """
    SELECT scope, name FROM concurrencylimit
    WHERE (scope, name) IN (
        SELECT * FROM unnest(CAST(:scopes AS text[]), CAST(:names AS text[]))
    )
    FOR UPDATE SKIP LOCKED
    """
)
USE_RATES = Statement(
    """
    UPDATE concurrencylimit SET busyuntil = used.until
    FROM unnest(CAST(:scopes AS text[]), CAST(:names AS text[]), CAST(:untils AS timestamptz[]))
         AS used (scope, name, until)
    WHERE concurrencylimit.scope = used.scope AND concurrencylimit.name = used.name
    """
)
WAITING = Statement(
    f"""
    SELECT count(*), min(nextrun) FROM (
        SELECT nextrun FROM joblog
        WHERE {LIVE} AND status = 'pending' AND kind = 'http' AND nextrun <= :now
        ORDER BY nextrun, logid LIMIT :limit
    ) AS waiting
    """
)

#: A limit: its scope and name.
Named = tuple[str, str]


class Askers(NamedTuple):
    """The hosts that have calls due."""

    hosts: Mapping[str, datetime]
    """When the oldest call to each was due."""
    whole: bool
    """Whether these are all."""
    walked: str
    """The host behind which to look for further ones; empty: from the first."""
    jobids: Sequence[int]
    """Jobs that have several of the oldest calls, or the oldest one to a host: they may hide others."""


async def asking(
    session: Session, due: datetime, window: int, steps: int, after: str, floor: datetime
) -> Askers:
    """The hosts that have calls due, from `floor` on.

    Where more than `window` calls are due, those of the oldest, and of up to `steps` hosts behind `after`.
    """
    rows = await session.all(ASKING, due=due, window=window, steps=steps, after=after, floor=floor)
    whole, walked = (rows[0]["whole"], rows[0]["walked"]) if rows else (True, None)
    hosts = {row["host"]: row["nextrun"] for row in rows}
    jobids = {jobid for row in rows for jobid in row["jobids"]}
    return Askers(hosts, whole or (walked is None and not after), walked or "", sorted(jobids))


async def lock_limits(session: Session, limits: Sequence[Named]) -> list[Named]:
    """Lock these limits; those that could be."""
    if not limits:
        return []
    scopes, names = map(list, zip(*limits, strict=True))
    return [(scope, name) for scope, name in await session.all(LOCK_LIMITS, scopes=scopes, names=names)]


async def use_rates(session: Session, used: Mapping[Named, datetime]) -> None:
    """Write until when locked rates are used up."""
    if used:
        scopes, names = map(list, zip(*used, strict=True))
        await session.all(USE_RATES, scopes=scopes, names=names, untils=list(used.values()))


async def waiting(session: Session, now: datetime, limit: int) -> tuple[int, datetime | None]:
    """How many calls are due and have not begun, counted up to `limit`, and since when the first is due."""
    count, since = await session.one(WAITING, now=now, limit=limit)
    return count, since
