"""Who asks for places, and what limits in calls a minute leave: what claims of calls share out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables import LIVE

# The oldest due calls tell which hosts have any. Where there are more than are looked at, those of one host
# may hide all others: then the index is walked from host to host, one step each, and as many steps at most.
ASKING = Statement(
    f"""
    WITH RECURSIVE head AS MATERIALIZED (
        SELECT host FROM joblog
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
           (SELECT host FROM walk WHERE step = :steps) AS walked
    FROM (SELECT host FROM head UNION SELECT host FROM walk WHERE host IS NOT NULL) AS found
    CROSS JOIN LATERAL (
        SELECT nextrun, logid FROM joblog
        WHERE {LIVE} AND status = 'pending' AND kind = 'http' AND joblog.host = found.host
          AND nextrun <= :due AND nextrun >= :floor
        ORDER BY nextrun, logid LIMIT 1
    ) AS oldest
    ORDER BY oldest.nextrun, oldest.logid
    """
)
#: A limit that somebody else is changing just now is left alone: its calls wait for the next claim.
LOCK_RATES = Statement(
    """
    SELECT scope, name FROM concurrencylimit
    WHERE rate IS NOT NULL AND (scope, name) IN (
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

#: A limit with a rate: its scope and name.
Rated = tuple[str, str]


class Askers(NamedTuple):
    """The hosts that have calls due."""

    hosts: Mapping[str, datetime]
    """When the oldest call to each was due."""
    whole: bool
    """Whether these are all."""
    walked: str
    """The host behind which to look for further ones; empty: from the first."""


async def asking(
    session: Session, due: datetime, window: int, steps: int, after: str, floor: datetime
) -> Askers:
    """The hosts that have calls due, from `floor` on.

    Where more than `window` calls are due, those of the oldest, and of up to `steps` hosts behind `after`.
    """
    rows = await session.all(ASKING, due=due, window=window, steps=steps, after=after, floor=floor)
    whole, walked = (rows[0]["whole"], rows[0]["walked"]) if rows else (True, None)
    hosts = {row["host"]: row["nextrun"] for row in rows}
    return Askers(hosts, whole or (walked is None and not after), walked or "")


async def lock_rates(session: Session, rates: Sequence[Rated]) -> list[Rated]:
    """Lock these rates; those that could be."""
    if not rates:
        return []
    scopes, names = map(list, zip(*rates, strict=True))
    return [(scope, name) for scope, name in await session.all(LOCK_RATES, scopes=scopes, names=names)]


async def use_rates(session: Session, used: Mapping[Rated, datetime]) -> None:
    """Write until when locked rates are used up."""
    if used:
        scopes, names = map(list, zip(*used, strict=True))
        await session.all(USE_RATES, scopes=scopes, names=names, untils=list(used.values()))


async def waiting(session: Session, now: datetime, limit: int) -> tuple[int, datetime | None]:
    """How many calls are due and have not begun, counted up to `limit`, and since when the first is due."""
    count, since = await session.one(WAITING, now=now, limit=limit)
    return count, since
