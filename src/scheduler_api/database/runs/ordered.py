"""Lists of runs by when they ended, by how long they took, and by when they are due.

A log's id tells when it was planned: yesterday, of a daily job that ran a minute ago. When runs ended is kept
by an index that costs next to nothing and knows no order, so that they are looked for in stretches of time.
"""

from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from scheduler_api.contracts.runs.logs import LogSort
from scheduler_api.database.runs.lists import CONDITIONS, SEARCHED, LogFilter, searching
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE

_ENDED = "finishedat DESC, logid DESC"
_SLOWEST = f"finishedat - startedat DESC NULLS LAST, {_ENDED}"
_SOONEST = "nextrun, logid"
#: Where runs are that have ended: in history, but for what was skipped ahead of its time. Each status has an
#: index of the few live rows that have it, so that the others are not read.
_PARTS = (
    "day < 'infinity'",
    f"{LIVE} AND (status = 'finished' OR status = 'failed' OR status = 'skipped')",
)
_SHOWN = "logid, day, jobid, scheduledfor, startedat, finishedat, host"


class RunPlace(NamedTuple):
    """Where such a list goes on: after the run that ended, or is due, then."""

    at: datetime
    logid: int


class ListOrder(NamedTuple):
    """In which order runs are listed, and where the list goes on."""

    sort: LogSort
    before: int | None = None
    """After this log, in the order of their ids."""
    after: RunPlace | None = None
    """After this place, in every other order."""

    @property
    def is_first(self) -> bool:
        """Whether the list begins here."""
        return self.before is None and self.after is None


class Found(NamedTuple):
    """What a look at some runs has found."""

    logids: Sequence[int]
    """In order."""
    days: Sequence[date]
    """The days under which these are kept."""
    looked_at: int
    last: int | None
    """Of runs to come, the last one that was looked at; None: there was none."""
    at: datetime | None
    """When that is due; of runs that ended, when the newest that was looked at did."""


async def ended(
    session: Session,
    wanted: LogFilter,
    since: datetime,
    before: RunPlace,
    among: int | None,
    limit: int,
    *,
    slowest: bool = False,
) -> Found:
    """Up to `limit` of the runs that ended from an instant on and before a place; newest first, or slowest.

    Of more than `among` some are looked at only, whichever these are; None: all are.
    """
    place = {"since_end": since, "at": before.at, "logid": before.logid}
    async with searching(session, wanted):
        return await session.one(
            ended_statement(wanted.conditions, slowest), **wanted.given, **place, among=among, limit=limit
        )


async def due(session: Session, wanted: LogFilter, after: RunPlace, among: int, limit: int) -> Found:
    """Up to `limit` runs to come that are due after a place, soonest first, among the next `among`."""
    place = {"at": after.at, "logid": after.logid}
    async with searching(session, wanted):
        return await session.one(
            due_statement(wanted.conditions), **wanted.given, **place, among=among, limit=limit
        )


async def count_ended(session: Session, wanted: LogFilter, most: int) -> int:
    """How many runs have ended or are in progress, up to `most`."""
    return int(await session.value(_count_ended(wanted.conditions), **wanted.given, most=most))


def _split(names: tuple[str, ...]) -> tuple[str, str]:
    """What an index serves, and what runs are looked at for; in SQL."""
    among = [CONDITIONS[name] for name in names if name not in SEARCHED]
    wanted = [CONDITIONS[name] for name in names if name in SEARCHED]
    return "".join(f" AND {condition}" for condition in among), " AND ".join(wanted) or "true"


@lru_cache(maxsize=64)
def ended_statement(names: tuple[str, ...], slowest: bool = False) -> Statement[Found]:
    """The statement behind `ended`, by the names of its conditions."""
    among, wanted = _split(names)
    order = _SLOWEST if slowest else _ENDED
    parts = " UNION ALL ".join(
        f"""(SELECT {_SHOWN} FROM joblog
             WHERE {part} AND finishedat >= :since_end AND finishedat <= :at
               AND (finishedat, logid) < (:at, CAST(:logid AS bigint)){among}
             LIMIT CAST(:among AS bigint))"""
        for part in _PARTS
    )
    return Statement(
        f"""
        WITH seen AS MATERIALIZED (
            SELECT * FROM ({parts}) AS parts LIMIT CAST(:among AS bigint)
        ), found AS (SELECT logid, day FROM seen WHERE {wanted} ORDER BY {order} LIMIT :limit)
        SELECT coalesce((SELECT array_agg(logid) FROM found), '{{}}'),
               coalesce((SELECT array_agg(day) FROM found), '{{}}'),
               (SELECT count(*) FROM seen), CAST(NULL AS bigint), (SELECT max(finishedat) FROM seen)
        """,
        Found,
    )


@lru_cache(maxsize=64)
def due_statement(names: tuple[str, ...]) -> Statement[Found]:
    """The statement behind `due`, by the names of its conditions."""
    among, wanted = _split(names)
    # Each of the two has an index in this order.
    kinds = " UNION ALL ".join(
        f"""(SELECT {_SHOWN}, nextrun FROM joblog WHERE {LIVE} AND status = 'pending' AND kind {which} 'http'
             AND (nextrun, logid) > (:at, CAST(:logid AS bigint)){among}
             ORDER BY {_SOONEST} LIMIT :among)"""
        for which in ("<>", "=")
    )
    return Statement(
        f"""
        WITH seen AS MATERIALIZED (SELECT * FROM ({kinds}) AS kinds ORDER BY {_SOONEST} LIMIT :among),
        found AS (SELECT logid, day FROM seen WHERE {wanted} ORDER BY {_SOONEST} LIMIT :limit)
        SELECT coalesce((SELECT array_agg(logid) FROM found), '{{}}'),
               coalesce((SELECT array_agg(day) FROM found), '{{}}'),
               (SELECT count(*) FROM seen), last.logid, last.nextrun
        FROM (VALUES (1)) AS always
        LEFT JOIN (SELECT logid, nextrun FROM seen ORDER BY nextrun DESC, logid DESC LIMIT 1) AS last ON true
        """,
        Found,
    )


@lru_cache(maxsize=64)
def _count_ended(names: tuple[str, ...]) -> Statement[Any]:
    where = "".join(f" AND {CONDITIONS[name]}" for name in names)
    parts = " UNION ALL ".join(f"(SELECT FROM joblog WHERE {part}{where} LIMIT :most)" for part in _PARTS)
    return Statement(
        f"""
        SELECT count(*) FROM (
            {parts}
            UNION ALL (SELECT FROM joblog WHERE {LIVE} AND status = 'running'{where} LIMIT :most)
        ) AS found
        """
    )
