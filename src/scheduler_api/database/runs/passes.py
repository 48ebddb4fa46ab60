"""Taking due logs of plain jobs.

Whoever holds the row lock on a job's next run decides the job's future: a claim takes it and skips the
logs that others hold; whoever edits a job has to take it too. So the job row, read *after* the lock, is
never stale. The job's row is locked, too, or the log left alone: no claim ever waits for anybody.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import all_, and_, bindparam, func, select, text

from scheduler_api.database.runs.due import DueLog, due_cells, earliest, in_cell
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.runs import LIVE, joblog

#: Before all that is ever due.
BEGINNING = datetime.min.replace(tzinfo=UTC)


class NextDue(NamedTuple):
    """What there will be to do for passes, and when."""

    now: datetime
    """By the database's clock."""
    due: datetime | None
    """When the next pending log is to be tried."""


#: Read from an index of its own.
_PLAIN = and_(text(LIVE), joblog.c.status == "pending", joblog.c.kind != "http")
# The floor skips the index entries of what has run: while somebody else's transaction can still see it, they
# cannot be removed.
CLAIM = Statement(
    select(*columns(joblog, DueLog))
    .where(
        _PLAIN,
        joblog.c.nextrun <= bindparam("due"),
        joblog.c.nextrun >= bindparam("floor"),
        joblog.c.jobid != all_(bindparam("held")),
        joblog.c.logid != all_(bindparam("refused")),
    )
    .order_by(joblog.c.nextrun, joblog.c.logid)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True),
    DueLog,
)

DUE_CELLS = Statement(due_cells("kind <> 'http' AND jobid <> ALL(:held) AND logid <> ALL(:refused)"))
NEXT_DUE = Statement(
    select(
        func.clock_timestamp().label("now"),
        select(func.min(joblog.c.nextrun))
        .where(_PLAIN, joblog.c.nextrun >= bindparam("floor"))
        .scalar_subquery()
        .label("due"),
    ),
    NextDue,
)
OLDEST = Statement(
    f"""
    SELECT clock_timestamp() AS now, least(
        (SELECT min(nextrun) FROM joblog WHERE {LIVE} AND status = 'pending' AND kind <> 'http'),
        (SELECT min(nextrun) FROM joblog WHERE {LIVE} AND status = 'pending' AND kind = 'http')
    ) AS due
    """,
    NextDue,
)


async def claim_due(
    session: Session,
    due: datetime,
    limit: int,
    held: Collection[int] = (),
    refused: Collection[int] = (),
    floor: datetime = BEGINNING,
) -> list[DueLog]:
    """Lock up to `limit` pending logs due from `floor` to `due`, earliest first.

    None of the `held` jobs, and none of the `refused` logs. Where tables are distributed, they are taken from
    one cell after the other, as many as each has.
    """
    wanted = {"due": due, "floor": floor, "held": list(held), "refused": list(refused)}
    if session.cells is None:
        return await session.all(CLAIM, limit=limit, **wanted)
    claimed: list[DueLog] = []
    for cell in await session.values(DUE_CELLS, cells=session.cells, **wanted):
        claimed += await in_cell(session, cell, CLAIM, limit=limit - len(claimed), **wanted)
        if len(claimed) == limit:
            break
    return sorted(claimed, key=earliest)


async def next_due(session: Session, floor: datetime = BEGINNING) -> NextDue:
    """What there will be to do, and when; not before `floor`."""
    return await session.one(NEXT_DUE, floor=floor)


async def oldest(session: Session) -> NextDue:
    """When the pending log that is to be tried first is due, call or not."""
    return await session.one(OLDEST)
