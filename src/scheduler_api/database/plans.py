"""Plans of statements that are about many rows."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from scheduler_api.database.connections import Connection
from scheduler_api.database.statements import DRIVER, Session, Statement, command

#: From so many rows on, a plan of their own is worth its time. A plan for whatever values is kept until
#: statistics change: one from when there were hardly any rows compares all of a table with each of those that
#: the statement is about. So does a new one as long as no statistics are there, or of that time; then nothing
#: is compared in loops. Most rows that a batch is about are in memory: to find one by an index costs hardly
#: more than to read one in a row.
#:
#: Statistics of that time also make the planner indifferent between the index for a row and any other that it
#: may read whole. Where that matters, a statement says in what order it wants its one row, or asks for all of
#: them at once.
MANY = 50
PLANNED_ANEW = Statement(
    """
    SELECT current_setting('plan_cache_mode') AS mode, current_setting('enable_nestloop') AS loops,
           current_setting('random_page_cost') AS cost,
           set_config('plan_cache_mode', 'force_custom_plan', true),
           set_config('enable_nestloop', CAST(reltuples >= :count AS text), true),
           set_config('random_page_cost', '1.1', true)
    FROM pg_class WHERE oid = CAST(CAST(:table AS text) AS regclass)
    """
)
#: What follows in the same transaction is about few rows: it would read all of history without loops.
PLANNED_AS_BEFORE = Statement(
    """
    SELECT set_config('plan_cache_mode', :mode, true), set_config('enable_nestloop', :loops, true),
           set_config('random_page_cost', :cost, true)
    """
)


@contextlib.asynccontextmanager
async def planned_for(session: Session, count: int, table: str) -> AsyncIterator[None]:
    """Let statements be planned for so many rows of a table, if these are many."""
    before = await session.one(PLANNED_ANEW, count=count, table=table) if count >= MANY else None
    yield
    # After an error the transaction's settings go with it.
    if before is not None:
        mode, loops, cost = before["mode"], before["loops"], before["cost"]
        await session.one(PLANNED_AS_BEFORE, mode=mode, loops=loops, cost=cost)


#: By no plan that is kept.
ANEW = "SET LOCAL plan_cache_mode = force_custom_plan"
#: Requests go without looks at whole tables (`REQUESTS_SETTINGS`): the planner would rather take all rows by
#: an index. It also expects that far more of them fit than will, which would take long to gather.
WHOLE = (
    f"{ANEW}; SET LOCAL enable_seqscan = on; SET LOCAL parallel_setup_cost = 0;"
    " SET LOCAL parallel_tuple_cost = 0"
)
#: Each with many others at once; by no plan that is kept, as that may have been made for few.
BY_HASH = f"{ANEW}; SET LOCAL enable_nestloop = off"
#: The same, where the server has counted fewer jobs than that: there may be far more by now.
FEW = 1000
FEW_BY_HASH = f"""
    SELECT set_config('enable_nestloop', 'off', true),
           set_config('plan_cache_mode', 'force_custom_plan', true)
    FROM pg_class WHERE oid = CAST('job' AS regclass) AND reltuples < {FEW}
"""


def planned_anew(session: Session) -> contextlib.AbstractAsyncContextManager[None]:
    """Let statements be planned for the values that they have this time."""
    return _planning(session, ANEW)


def planned_for_those(
    session: Session, projects: Sequence[str] | None
) -> contextlib.AbstractAsyncContextManager[None]:
    """The same for who sees some projects: a plan for everybody cannot know how many jobs these have."""
    return contextlib.nullcontext() if projects is None else planned_anew(session)


def looking_at_all(session: Session) -> contextlib.AbstractAsyncContextManager[None]:
    """Let statements look at all rows of a table, side by side, for the few that fit."""
    return _planning(session, WHOLE)


def joining_by_hash(session: Session) -> contextlib.AbstractAsyncContextManager[None]:
    """Let statements compare many rows with many others at once, all of which they read."""
    return _planning(session, BY_HASH)


def joining_few_by_hash(session: Session) -> contextlib.AbstractAsyncContextManager[None]:
    """The same with all jobs, as long as these seem to be few: of a million, not all are to be read."""
    return _planning(session, FEW_BY_HASH)


@contextlib.asynccontextmanager
async def _planning(session: Session, settings: str) -> AsyncIterator[None]:
    driver: Connection = session.info[DRIVER]
    begin, end = "BEGIN", "ROLLBACK"
    if driver.is_in_transaction():
        begin, end = "SAVEPOINT planning", "ROLLBACK TO SAVEPOINT planning; RELEASE SAVEPOINT planning"
    await command(session, f"{begin}; {settings}")
    yield
    # Nothing was changed but how to plan. After an error, the transaction or the connection is given up.
    await command(session, end)
