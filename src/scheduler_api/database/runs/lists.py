"""Lists of logs: those that fit a filter, newest first."""

from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from scheduler_api.contracts.runs.logs import LogCause, LogStatus
from scheduler_api.database.runs.logs import LOGS, LogRow
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables import LIVE


class LogFilter(NamedTuple):
    """Which logs: those that fit everything that is given."""

    jobid: int | None = None
    status: str | None = None
    cause: str | None = None
    since: datetime | None = None
    """The first instant of their occurrences."""
    until: datetime | None = None
    """The first instant after them."""
    before: int | None = None
    """Only what comes after this log in the list."""
    tag: str | None = None
    """Of the job."""
    host: str | None = None
    longer: float | None = None
    """Seconds that they took at least, from the start to the end."""
    shorter: float | None = None
    """Less than these."""

    @property
    def given(self) -> dict[str, Any]:
        """What is not None, by its name."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of what it asks for, in order: of CONDITIONS, and `before`."""
        given = self.given.items()
        return tuple(sorted(f"{name}={value}" if name in LITERAL else name for name, value in given))


#: Filters of which each value has a condition of its own, as the planner chooses indexes and parts by it.
LITERAL = {"status", "cause"}
#: The conditions, by the filter that asks for them.
CONDITIONS = {
    "jobid": "jobid = :jobid",
    # No row is under an earlier day than that of its occurrence, but what is later than all parts.
    "since": """scheduledfor >= :since AND day >= least(
        CAST(CAST(:since AS timestamptz) AT TIME ZONE 'UTC' AS date), (SELECT lastday FROM history)
    )""",
    "until": "scheduledfor < :until",
    "tag": "jobid IN (SELECT jobid FROM job WHERE tags @> ARRAY[CAST(:tag AS text)])",
    "host": "host = :host",
    "longer": "finishedat - startedat >= make_interval(secs => :longer)",
    "shorter": "finishedat - startedat < make_interval(secs => :shorter)",
    **{f"cause={cause}": f"cause = '{cause}'" for cause in LogCause},
    **{f"status={status}": f"status = '{status}'" for status in LogStatus},
    **{f"status={status}": f"{LIVE} AND status = '{status}'" for status in ("pending", "running")},
}
#: The order of one job's logs and of all logs (which have no index by time), and what comes further on.
_OF_JOB = "scheduledfor DESC, logid DESC"
_OF_ALL = "logid DESC"
_FURTHER = {
    # The row itself may have been withdrawn since: then what was added before it comes next.
    _OF_JOB: """(scheduledfor, logid) < (coalesce(
        (SELECT scheduledfor FROM joblog WHERE logid = :before),
        (SELECT max(scheduledfor) FROM joblog WHERE jobid = :jobid AND logid < :before)
    ), CAST(:before AS bigint))""",
    _OF_ALL: "logid < :before",
}


async def page(session: Session, wanted: LogFilter, limit: int) -> list[LogRow]:
    """Up to `limit` logs, newest first."""
    return await session.all(statement(wanted.conditions), **wanted.given, limit=limit)


async def count(session: Session, wanted: LogFilter, most: int) -> int:
    """How many logs there are, up to `most`."""
    return int(await session.value(_count(wanted.conditions), **wanted.given, most=most))


async def failed(session: Session, wanted: LogFilter, after: int, limit: int) -> list[int]:
    """Up to `limit` logids above `after` of failed calls."""
    return await session.values(_failed(wanted.conditions), **wanted.given, after=after, limit=limit)


async def count_failed(session: Session, wanted: LogFilter) -> int:
    """How many failed calls there are."""
    found = _failed(wanted.conditions, "count(*)")
    return int(await session.value(found, **wanted.given, after=0, limit=1))


@lru_cache(maxsize=64)
def _count(names: tuple[str, ...]) -> Statement[Any]:
    where = " AND ".join(CONDITIONS[name] for name in names) or "true"
    return Statement(f"SELECT count(*) FROM (SELECT FROM joblog WHERE {where} LIMIT :most) AS found")


@lru_cache(maxsize=64)
def statement(names: tuple[str, ...]) -> Statement[LogRow]:
    """The statement behind `page`, by the names of its conditions."""
    order = _OF_JOB if "jobid" in names else _OF_ALL
    conditions = [_FURTHER[order] if name == "before" else CONDITIONS[name] for name in names]
    where = " AND ".join(conditions) or "true"
    return Statement(f"{LOGS} WHERE {where} ORDER BY {order} LIMIT :limit", LogRow)


@lru_cache(maxsize=64)
def _failed(names: tuple[str, ...], what: str = "logid") -> Statement[Any]:
    conditions = ["status = 'failed'", "kind = 'http'", "logid > :after", *(CONDITIONS[n] for n in names)]
    order = " ORDER BY logid" if what == "logid" else ""
    return Statement(f"SELECT {what} FROM joblog WHERE {' AND '.join(conditions)}{order} LIMIT :limit")
