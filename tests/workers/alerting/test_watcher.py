"""One look is a suspicion; what another look finds a while later is noticed."""

from datetime import timedelta

from scheduler_api.database.engine import Database
from scheduler_api.workers.alerting.watcher import Watcher
from tests.factories import add_job, execute, rows, scalar


async def kinds(database: Database) -> list[str]:
    return [row[0] for row in await rows(database, "SELECT kind FROM jobissue ORDER BY kind")]


async def test_what_one_look_finds_is_noticed_by_another(database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, interval=60, due=now - timedelta(minutes=5))
    watcher = Watcher(database, again=3600)
    for _ in range(2):
        await watcher._look()
    assert await kinds(database) == []
    watcher._again = 0
    await watcher._look()
    # Once it is known that it is late, nothing more is said of its silence.
    assert await kinds(database) == ["late"]


async def test_what_is_made_up_for_meanwhile_is_not_noticed(database: Database) -> None:
    now = await scalar(database, "SELECT clock_timestamp()")
    await add_job(database, interval=86400, due=now - timedelta(minutes=5))
    watcher = Watcher(database, again=3600)
    await watcher._look()
    await execute(database, "UPDATE joblog SET nextrun = now() + interval '1 day' WHERE jobid = 1")
    watcher._again = 0
    await watcher._look()
    assert "late" not in await kinds(database)
