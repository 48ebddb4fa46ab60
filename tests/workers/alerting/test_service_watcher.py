"""One look at the service is a suspicion; what the next one finds again is noticed."""

import pytest
from sqlalchemy.engine import URL

from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.errors import DatabaseUnavailable
from scheduler_api.services.system.troubles import Replica
from scheduler_api.workers.alerting import service_watcher
from scheduler_api.workers.alerting.service_watcher import ServiceWatcher
from tests.factories import rows


async def known(database: Database) -> list[str]:
    return [row[0] for row in await rows(database, "SELECT what FROM serviceissue ORDER BY what")]


async def test_what_two_looks_find_is_noticed(database: Database) -> None:
    says = ["It has claimed nothing for 40 seconds."]
    watcher = ServiceWatcher(database, lambda: Replica("box:1", says))
    await watcher._look()
    assert await known(database) == []
    says[0] = "It has claimed nothing for 70 seconds."
    await watcher._look()
    assert await known(database) == ["Replica box:1 is not working"]


async def test_what_is_over_by_the_next_look_is_not(database: Database) -> None:
    says = ["It has claimed nothing for 40 seconds."]
    watcher = ServiceWatcher(database, lambda: Replica("box:1", says))
    await watcher._look()
    says.clear()
    await watcher._look()
    assert await known(database) == []


@pytest.mark.parametrize(("away", "count"), [(0.0, 1), (3600.0, 0)])
async def test_a_database_that_was_away_for_long_is_told_of(
    database: Database, worker_database: URL, monkeypatch: pytest.MonkeyPatch, away: float, count: int
) -> None:
    monkeypatch.setattr(service_watcher, "AWAY", away)
    watcher = ServiceWatcher(database, lambda: Replica("box:1"))
    address = worker_database.set(host="127.0.0.1", port=1, query={})
    watcher._database = nobody = Database(address, name="nobody", pool=PoolOptions(1, 0, 1.0))
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await watcher._look()
    await nobody.close()
    watcher._database = database
    for _ in range(2):
        await watcher._look()
    assert len(await known(database)) == count
