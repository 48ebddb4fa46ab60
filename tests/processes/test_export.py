"""Days of history in files: each once, whole, as rows were; and none goes before, where that is wanted."""

import asyncio
import csv
import gzip
import io
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from asgi_lifespan import LifespanManager
from httpx import ASGITransport, AsyncClient
from sqlalchemy.engine import URL

from scheduler_api import exporting
from scheduler_api.app import create_app
from scheduler_api.contracts.system.overview import IssueKind
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import exports
from scheduler_api.database.statements import Session
from scheduler_api.errors import DatabaseBusy, Misconfigured
from scheduler_api.exporting import Day, Extent, Format
from scheduler_api.services.runs import retention, retrying
from scheduler_api.services.runs.retention import Keep
from scheduler_api.services.system import overview
from scheduler_api.services.system.troubles import Replica
from scheduler_api.settings import Settings
from scheduler_api.workers.upkeep import Upkeep
from tests import pooler
from tests.factories import ACTOR, add_job, execute, lay_out_days, rows, scalar, until_it_waits_or_ends
from tests.processes.test_entry_points import environment

FIRST = date(2030, 1, 1)
NOW = datetime(2030, 1, 20, 12, tzinfo=UTC)
#: What a file must not break: quotes, lines, what looks like nothing, what is nothing.
ODD = 'It said "no",\r\nand then: é\\N '
TABLES = ("joblog", "logattempt", "logline")


@pytest.fixture
async def days(fresh: Database) -> Database:
    """Ten days with a run on each of the first five, all of them closed but for the last three."""
    await lay_out_days(fresh, FIRST, 10)
    jobid = await add_job(fresh, interval=86_400, target={"url": "http://a.example/"}, due=NOW)
    for number in range(5):
        day = FIRST + timedelta(days=number)
        at = datetime(2030, 1, day.day, 12, tzinfo=UTC)
        logid = await scalar(
            fresh,
            "INSERT INTO joblog (day, jobid, scheduledfor, status, startedat, finishedat, kind, host, error,"
            " reason, body) VALUES (:day, :jobid, :at, 'failed', :at, :at, 'http', '', :error, NULL,"
            """ CAST('[1, null, "x"]' AS jsonb)) RETURNING logid""",
            day=day, jobid=jobid, at=at, error=ODD,
        )  # fmt: skip
        given = {"logid": logid, "jobid": jobid, "day": day, "at": at}
        await execute(
            fresh,
            "INSERT INTO logattempt (logid, jobid, day, attempt, startedat, finishedat, outcome, httpstatus,"
            " replica) VALUES (:logid, :jobid, :day, 1, :at, :at, 'failed', 503, 'r')",
            **given,
        )
        for line in ("one", "", "three"):
            await execute(
                fresh,
                "INSERT INTO logline (logid, jobid, day, attempt, at, line)"
                " VALUES (:logid, :jobid, :day, 1, :at, :line)",
                line=line,
                **given,
            )
    await execute(fresh, "UPDATE history SET closedto = '2030-01-08', openday = '2030-01-08'")
    return fresh


async def exported(
    database: Database, folder: Path, kind: Format = Format.CSV, before: date | None = None
) -> list[Day]:
    reach = await exporting.reach(database, before)
    return [day async for day in exporting.export(database, folder, reach, kind, release=True)]


def shown(folder: Path) -> list[str]:
    """The files that are for others."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def read(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def test_a_file_holds_what_a_table_did(days: Database, tmp_path: Path) -> None:
    found = await exported(days, tmp_path)
    assert [day.day for day in found] == [FIRST + timedelta(days=n) for n in range(7)]
    assert [tuple(day.rows.values()) for day in found] == [(1, 1, 3)] * 5 + [(0, 0, 0)] * 2
    assert shown(tmp_path) == sorted(
        f"{table}-2030-01-{number:02}.csv.gz" for table in TABLES for number in range(1, 8)
    )
    (row,) = read(tmp_path / "joblog-2030-01-03.csv.gz")
    assert (row["error"], row["host"], row["reason"], row["day"]) == (ODD, "", "", "2030-01-03")
    assert row["scheduledfor"] == "2030-01-03 12:00:00+00"
    assert [line["line"] for line in read(tmp_path / "logline-2030-01-03.csv.gz")] == ["one", "", "three"]
    assert await scalar(days, "SELECT exportedto FROM history") == date(2030, 1, 8)


async def test_what_was_exported_can_be_read_back(days: Database, tmp_path: Path) -> None:
    await exported(days, tmp_path)
    for table in TABLES:
        before = await rows(days, f"SELECT * FROM {table} AS t WHERE day = '2030-01-03' ORDER BY t")
        path = tmp_path / f"{table}-2030-01-03.csv.gz"
        columns = gzip.decompress(path.read_bytes()).decode().partition("\n")[0].strip()
        async with days.engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            await driver.execute(f"CREATE TABLE was_{table} (LIKE {table})")
            with gzip.open(path) as file:
                await driver.copy_to_table(
                    f"was_{table}", source=file, columns=columns.split(","), format="csv", header=True
                )
        assert await rows(days, f"SELECT * FROM was_{table} AS t ORDER BY t") == before


async def test_parquet_has_kinds_and_knows_nothing_from_an_empty_text(days: Database, tmp_path: Path) -> None:
    await exported(days, tmp_path, Format.PARQUET)
    assert {Path(name).suffix for name in shown(tmp_path)} == {".parquet"}
    (row,) = pyarrow.parquet.read_table(tmp_path / "joblog-2030-01-03.parquet").to_pylist()
    assert row["scheduledfor"] == datetime(2030, 1, 3, 12, tzinfo=UTC)
    assert (row["error"], row["host"], row["reason"], row["day"]) == (ODD, "", None, date(2030, 1, 3))
    assert (row["attempt"], row["status"], row["nextrun"]) == (1, "failed", None)
    assert row["body"] == '[1, null, "x"]'
    table = pyarrow.parquet.read_table(tmp_path / "logattempt-2030-01-07.parquet")
    assert table.num_rows == 0
    assert str(table.schema.field("startedat").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("httpstatus").type) == "int32"


async def test_what_is_there_is_left_alone(days: Database, tmp_path: Path) -> None:
    assert len(await exported(days, tmp_path, before=date(2030, 1, 3))) == 2
    assert await scalar(days, "SELECT exportedto FROM history") == date(2030, 1, 3)
    kept = tmp_path / "joblog-2030-01-02.csv.gz"
    kept.write_bytes(b"as it was")
    (tmp_path / "logline-2030-01-01.csv.gz").unlink()
    assert [day.day.day for day in await exported(days, tmp_path)] == [1, 3, 4, 5, 6, 7]
    assert kept.read_bytes() == b"as it was"
    # To export less than before takes nothing back.
    assert await exported(days, tmp_path, before=date(2030, 1, 3)) == []
    assert await scalar(days, "SELECT exportedto FROM history") == date(2030, 1, 8)


async def test_days_that_are_open_are_not_exported(days: Database, tmp_path: Path) -> None:
    assert await exporting.reach(days, date(2030, 1, 9)) == Extent(FIRST, date(2030, 1, 8))
    await execute(days, "UPDATE history SET closedto = '-infinity'")
    assert await exported(days, tmp_path) == []
    assert await scalar(days, "SELECT exportedto FROM history") == date.min


async def test_an_export_that_is_broken_off_leaves_no_file_that_looks_whole(
    days: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("scheduler_api.exporting._move", fail)
        with pytest.raises(Misconfigured, match=r"cannot be written to: No space left on device\."):
            await exported(days, tmp_path)
    assert shown(tmp_path) == []
    assert await scalar(days, "SELECT exportedto FROM history") == date.min
    # Nothing else is left either, but for what says whose days they are; and the next one writes all.
    assert [path.name for path in tmp_path.iterdir()] == [exporting.MARK]
    assert len(await exported(days, tmp_path)) == 7
    assert len(list(tmp_path.iterdir())) == 22


async def test_days_go_only_when_they_are_released(days: Database, tmp_path: Path) -> None:
    """A look at them, in whatever folder, lets nothing go."""
    reach = await exporting.reach(days, None)
    assert len([day async for day in exporting.export(days, tmp_path, reach, Format.CSV)]) == 7
    assert await scalar(days, "SELECT exportedto FROM history") == date.min


async def test_a_folder_has_days_of_one_database(days: Database, tmp_path: Path) -> None:
    """What has the right name may be of another one, or of another life of this one."""
    (tmp_path / exporting.MARK).write_text("another\n")
    with pytest.raises(Misconfigured, match="days of another database"):
        await exported(days, tmp_path)
    assert await scalar(days, "SELECT exportedto FROM history") == date.min


async def test_a_day_that_goes_meanwhile_has_no_file(days: Database, tmp_path: Path) -> None:
    reach = await exporting.reach(days, None)
    under_way = exporting.export(days, tmp_path, reach, Format.CSV)
    assert (await anext(under_way)).day == FIRST
    while await forget(days, Keep(timedelta(days=14))):
        pass
    gone = await scalar(days, "SELECT horizon FROM history")
    assert gone > FIRST + timedelta(days=1)
    rest = [day.day async for day in under_way]
    assert rest[0] == gone
    assert f"joblog-{gone - timedelta(days=1)}.csv.gz" not in shown(tmp_path)


class Interrupted(io.BytesIO):
    """A file that lets something else happen when it gets its first bytes."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self._happens: Callable[[], None] | None = happens

    def write(self, data: Any) -> int:
        # The driver writes in a thread.
        happens, self._happens = self._happens, None
        if happens is not None:
            happens()
        return super().write(data)


@pytest.mark.parametrize("meanwhile", ["it is dropped", "a run is retried"])
async def test_a_day_is_written_as_of_one_moment(days: Database, meanwhile: str) -> None:
    """What happens between two tables is in none of them."""
    loop, begun = asyncio.get_running_loop(), list[asyncio.Task[Any]]()
    logid = await scalar(days, "SELECT logid FROM joblog WHERE day = :day", day=FIRST)

    async def drop() -> None:
        while await forget(days, Keep(timedelta(days=14))):
            pass
        # In whatever order: that of another table than is being read comes first.
        for command in sorted(await days.read(retention.drops), key=lambda command: " joblog" in command):
            await days.command_alone(command)

    async def retry() -> None:
        await days.transact(retrying.retry, ACTOR, logid)

    async def begin() -> None:
        begun.append(asyncio.create_task(drop() if meanwhile == "it is dropped" else retry()))
        # It ends, or waits until the day is written.
        await until_it_waits_or_ends(days, begun[0])

    file = Interrupted(lambda: asyncio.run_coroutine_threadsafe(begin(), loop).result(60))
    files = {"joblog": file, "logattempt": io.BytesIO(), "logline": io.BytesIO()}
    async with days.alone(1) as driver:
        counts = await exports.copy_day(driver, FIRST, files)
    await begun[0]
    assert counts == {"joblog": 1, "logattempt": 1, "logline": 3}


async def test_files_do_not_depend_on_how_the_server_writes_dates(days: Database, tmp_path: Path) -> None:
    name = await scalar(days, "SELECT current_database()")
    await execute(days, f"ALTER DATABASE {name} SET datestyle = 'German'")
    await exported(days, tmp_path, Format.PARQUET)
    (row,) = pyarrow.parquet.read_table(tmp_path / "joblog-2030-01-03.parquet").to_pylist()
    assert row["scheduledfor"] == datetime(2030, 1, 3, 12, tzinfo=UTC)


async def test_one_export_runs_at_a_time(days: Database, tmp_path: Path) -> None:
    """Two of them would write to the same files."""
    reach = await exporting.reach(days, None)
    under_way = exporting.export(days, tmp_path, reach, Format.CSV)
    assert (await anext(under_way)).day == FIRST
    with pytest.raises(DatabaseBusy):
        await exported(days, tmp_path)
    await under_way.aclose()
    assert len(await exported(days, tmp_path)) == 6


async def test_a_folder_that_cannot_be_written_to_is_told(days: Database, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot be written to"):
        await exported(days, tmp_path / "file" / "below")


async def test_parquet_without_pyarrow_is_told(
    days: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Misconfigured, match="pip install"):
        await exported(days, tmp_path, Format.PARQUET)


async def forget(database: Database, keep: Keep) -> bool:
    async def work(session: Session, _: datetime) -> bool:
        return await retention.forget(session, NOW, keep)

    return await database.transact(work)


async def test_nothing_goes_before_it_was_exported(days: Database, tmp_path: Path) -> None:
    keep = Keep(timedelta(days=3), exported=True)
    assert not await forget(days, keep)
    await exported(days, tmp_path, before=date(2030, 1, 3))
    gone = 0
    while await forget(days, keep):
        gone += 1
    assert (gone, await scalar(days, "SELECT horizon FROM history")) == (2, date(2030, 1, 3))
    await exported(days, tmp_path)
    while await forget(days, keep):
        gone += 1
    assert gone == 7
    # Where that is not asked for, it goes by its age alone.
    assert await scalar(days, "SELECT horizon FROM history") == date(2030, 1, 8)


async def test_history_that_waits_is_an_issue(days: Database, tmp_path: Path) -> None:
    async def told(replica: Replica) -> list[str]:
        async def work(session: Session, _: datetime) -> list[str]:
            found = await overview.look(session, NOW, replica)
            return [one.what for one in found.issues if one.kind is IssueKind.EXPORT]

        return await days.transact(work)

    wanted = Replica(keep=timedelta(days=3), exported=True)
    assert await told(wanted) == ["History since 2030-01-01 is waiting to be exported"]
    assert await told(wanted._replace(exported=False)) == []
    assert await told(wanted._replace(keep=None)) == []
    assert await told(wanted._replace(keep=timedelta(days=17))) == []
    await exported(days, tmp_path)
    assert await told(wanted) == []


def run(url: URL, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scheduler_api", "export", *arguments]
    own = environment(url)
    return subprocess.run(command, env=own, capture_output=True, text=True, check=False)


async def test_the_command_says_what_it_does(days: Database, scratch: URL, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er"
    done = await asyncio.to_thread(run, scratch, "--to", str(folder), "--before", "2030-01-03")
    assert (done.returncode, done.stdout) == (
        0, f"2 days exported: {folder} has 2030-01-01 to 2030-01-02.\n"
    ), done.stderr  # fmt: skip
    assert "2030-01-02: 1 in joblog, 1 in logattempt, 3 in logline" in done.stderr
    assert len(shown(folder)) == 6
    done = await asyncio.to_thread(run, scratch, "--to", str(folder), "--before", "2030-01-03")
    assert done.stdout == f"0 days exported: {folder} has 2030-01-01 to 2030-01-02.\n"
    done = await asyncio.to_thread(run, scratch, "--to", str(folder), "--before", "2029-01-03")
    assert done.stdout == "Nothing to export: no such day is kept, and closed.\n"


async def test_the_setting_holds_history_back_and_shows_it(
    days: Database, scratch: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Keep] = []

    def upkeep(database: Database, keep: Keep) -> Upkeep:
        kept.append(keep)
        return Upkeep(database, keep)

    monkeypatch.setattr("scheduler_api.running.Upkeep", upkeep)
    own = {
        name.removeprefix("SCHEDULER_").lower(): text for name, text in pooler.environment(scratch).items()
    }
    settings = Settings.model_validate(own | {"export_before_drop": True, "keep_history": 7})
    await execute(days, "DELETE FROM joblog")
    await lay_out_days(days, date(2020, 1, 1), 10)
    await execute(days, "UPDATE history SET closedto = '2020-01-09'")
    async with LifespanManager(create_app(settings)) as manager:
        transport = ASGITransport(manager.app, client=("127.0.0.1", 50000))
        async with AsyncClient(transport=transport, base_url="http://localhost") as client:
            found = (await client.get("/overview")).json()
    assert kept == [Keep(timedelta(days=7), exported=True)]
    assert found["storage"]["waiting"] == "2020-01-01"
    assert "export" in {issue["kind"] for issue in found["issues"]}
