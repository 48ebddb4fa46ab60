"""Plans of statements that are about many rows."""

import contextlib
from collections.abc import AsyncIterator

from scheduler_api.database.statements import Session, Statement

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
