"""Statements on attempts, on what accepted runs tell, and on trying again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, update

from scheduler_api.database.runs.logs import CONDITIONS, LogFilter
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables import columns, joblog, logattempt


@dataclass
class AttemptRow:
    """An attempt as it is shown."""

    logid: int
    attempt: int
    startedat: datetime
    finishedat: datetime | None
    outcome: str
    failure: str | None
    error: str | None
    httpstatus: int | None
    timing: dict[str, Any] | None
    excerpt: str | None
    progress: int | None
    message: str | None
    replica: str


class LineRow(NamedTuple):
    """A line of a run's output."""

    lineid: int
    attempt: int
    at: datetime
    line: str


OF_LOG = Statement(
    select(*columns(logattempt, AttemptRow))
    .where(logattempt.c.logid == bindparam("logid"))
    .order_by(logattempt.c.attempt),
    AttemptRow,
)
#: The last attempt of each of these logs.
LATEST = Statement(
    """
    SELECT DISTINCT ON (logid) logid, attempt, startedat, finishedat, outcome, failure, error, httpstatus,
           timing, CAST(NULL AS text) AS excerpt, progress, message, replica
    FROM logattempt WHERE logid = ANY(:logids) ORDER BY logid, attempt DESC
    """,
    AttemptRow,
)
LINES = Statement(
    """
    SELECT * FROM (
        SELECT lineid, attempt, at, line FROM logline WHERE logid = :logid ORDER BY lineid DESC LIMIT :limit
    ) AS newest ORDER BY lineid
    """,
    LineRow,
)
TELL = Statement(
    """
    WITH heard AS (
        UPDATE joblog SET leaseuntil = :until WHERE logid = :logid
    )
    UPDATE logattempt SET progress = coalesce(:progress, progress), message = coalesce(:message, message)
    WHERE logid = :logid AND attempt = :attempt
    """
)
# What goes beyond the most lines of an attempt is dropped.
ADD_LINES = Statement(
    """
    INSERT INTO logline (logid, attempt, at, line)
    SELECT :logid, :attempt, :now, line
    FROM unnest(CAST(:lines AS text[])) WITH ORDINALITY AS told (line, number)
    WHERE number + (
        SELECT count(*) FROM logline WHERE logid = :logid AND attempt = :attempt
    ) <= :limit
    ORDER BY number
    """
)
RETRY = Statement(
    update(joblog)
    .where(joblog.c.logid == bindparam("logid"))
    .values(
        status="pending",
        nextrun=bindparam("now"),
        startedat=None,
        finishedat=None,
        error=None,
        spent=joblog.c.attempt,
        attempt=joblog.c.attempt + 1,
        host=bindparam("host"),
    )
)


async def of_log(session: Session, logid: int) -> list[AttemptRow]:
    """The log's attempts, in order."""
    return await session.all(OF_LOG, logid=logid)


async def latest(session: Session, logids: Sequence[int]) -> dict[int, AttemptRow]:
    """The last attempt of each of these logs that has one, by logid; without the excerpts."""
    return {row.logid: row for row in await session.all(LATEST, logids=logids)}


async def lines(session: Session, logid: int, limit: int) -> list[LineRow]:
    """The newest lines of the run's output, in order."""
    return await session.all(LINES, logid=logid, limit=limit)


async def tell(
    session: Session,
    logid: int,
    attempt: int,
    until: datetime,
    progress: int | None,
    message: str | None,
) -> None:
    """Hold a running log until then, and write down how far it has come."""
    values = {"progress": progress, "message": message}
    await session.all(TELL, logid=logid, attempt=attempt, until=until, **values)


async def add_lines(
    session: Session, now: datetime, logid: int, attempt: int, added: Sequence[str], limit: int
) -> None:
    """Keep lines of an attempt, `limit` of all it tells."""
    await session.all(ADD_LINES, now=now, logid=logid, attempt=attempt, lines=added, limit=limit)


async def retry(session: Session, now: datetime, logid: int, host: str) -> None:
    """Make a failed log pending anew: its attempts so far count no more."""
    await session.all(RETRY, now=now, logid=logid, host=host)


async def failed(session: Session, wanted: LogFilter, after: int, limit: int) -> list[int]:
    """Up to `limit` logids above `after` of failed calls."""
    statement = _failed(tuple(sorted(wanted.given)))
    return await session.values(statement, **wanted.given, after=after, limit=limit)


async def count_failed(session: Session, wanted: LogFilter) -> int:
    """How many failed calls there are."""
    statement = _failed(tuple(sorted(wanted.given)), "count(*)")
    return int(await session.value(statement, **wanted.given, after=0, limit=1))


@lru_cache(maxsize=64)
def _failed(filters: tuple[str, ...], what: str = "logid") -> Statement[Any]:
    conditions = ["status = 'failed'", "kind = 'http'", "logid > :after", *(CONDITIONS[n] for n in filters)]
    order = " ORDER BY logid" if what == "logid" else ""
    return Statement(f"SELECT {what} FROM joblog WHERE {' AND '.join(conditions)}{order} LIMIT :limit")
