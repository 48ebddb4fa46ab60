"""Plans of statements that are about many rows."""

import contextlib
from collections.abc import AsyncIterator

from scheduler_api.database.connections import Connection
from scheduler_api.database.statements import DRIVER, Session, Statement, command

#: From so many rows on, a plan of their own is worth its time. A plan for whatever values is kept until
#: statistics change: one from when there were hardly any rows compares all of a table with each of those that
#: the statement is about. So does a new one as long as no statistics are there, or of that time; then nothing
#: is compared in loops. Most rows that a batch is about are in memory: to find one by an index costs hardly
#: more than to read one in a row.
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


#: Requests go without looks at whole tables (`REQUESTS_SETTINGS`): the planner would rather take all rows by
#: an index. It also expects that far more of them fit than will, which would take long to gather.
WHOLE = "SET LOCAL enable_seqscan = on; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0"


@contextlib.asynccontextmanager
async def looking_at_all(session: Session) -> AsyncIterator[None]:
    """Let statements look at all rows of a table, side by side, for the few that fit."""
    driver: Connection = session.info[DRIVER]
    begin, end = "BEGIN", "ROLLBACK"
    if driver.is_in_transaction():
        begin, end = "SAVEPOINT whole", "ROLLBACK TO SAVEPOINT whole; RELEASE SAVEPOINT whole"
    await command(session, f"{begin}; {WHOLE}")
    yield
    # Nothing was changed but how to plan. After an error, the transaction or the connection is given up.
    await command(session, end)
