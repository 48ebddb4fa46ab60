"""How statements are planned is changed for those that need it, and for no others."""

from datetime import datetime

import pytest

from scheduler_api.database.engine import Database
from scheduler_api.database.plans import looking_at_all
from scheduler_api.database.statements import Session, Statement

COSTS = Statement(
    "SELECT current_setting('enable_seqscan'), current_setting('parallel_setup_cost'),"
    " current_setting('parallel_tuple_cost')"
)
REQUESTS = Statement("SELECT set_config('enable_seqscan', 'off', true)")


async def costs(session: Session) -> tuple[str, ...]:
    return tuple(await session.one(COSTS))


async def test_a_look_at_all_rows_changes_nothing_that_follows(database: Database) -> None:
    """In a transaction, which goes on, and without one."""

    async def work(session: Session, _: datetime) -> list[tuple[str, ...]]:
        await session.one(REQUESTS)
        return await look(session)

    async def look(session: Session) -> list[tuple[str, ...]]:
        before = await costs(session)
        async with looking_at_all(session):
            within = await costs(session)
        return [before, within, await costs(session)]

    whole = ("on", "0", "0")
    assert await database.transact(work) == [("off", "1000", "0.1"), whole, ("off", "1000", "0.1")]
    assert await database.read(look) == [("on", "1000", "0.1"), whole, ("on", "1000", "0.1")]


async def test_a_look_that_fails_leaves_no_transaction_behind(database: Database) -> None:
    async def fail(session: Session) -> None:
        async with looking_at_all(session):
            raise KeyError

    for _ in range(10):
        with pytest.raises(KeyError):
            await database.read(fail)
    assert await database.read(costs) == ("on", "1000", "0.1")
