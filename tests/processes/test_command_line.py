"""The command line as its users meet it: what it says, and how it ends."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from httpx import AsyncClient
from sqlalchemy.engine import URL

from scheduler_api import __version__
from scheduler_api.database import migrations
from scheduler_api.database.engine import Database
from tests.factories import NOON, add_job, execute
from tests.processes.service import PATIENCE, SERVING, Service, run, services
from tests.servers import dsn

ROOT = Path(__file__).parents[2]
EXIT_UNAVAILABLE, EXIT_CONFIG = 69, 78


async def ends(*command: str, database: URL | None, **environment: str) -> tuple[int, str, str]:
    """Run a command that ends by itself: its exit code and what it printed."""
    program = await run(*command, database=database, **environment)
    async with asyncio.timeout(PATIENCE):
        code, out, err = await program.ends()
    return code, out.decode(), err.decode()


async def refusal(database: URL | None, *arguments: str, code: int, **environment: str) -> str:
    """The one line with which `serve` refuses to start."""
    # Somebody else may have the usual port.
    found, _, err = await ends("serve", "--port", "0", *arguments, database=database, **environment)
    lines = [line for line in err.splitlines() if '"level": "info"' not in line]
    assert found == code, err
    assert len(lines) == 1, err
    return lines[0]


def test_help_and_version() -> None:
    program = str(Path(sys.executable).with_name("scheduler-api"))
    shown = subprocess.check_output([program, "--help"], text=True)
    assert "serve" in shown
    assert "migrate" in shown
    version = subprocess.check_output([sys.executable, "-m", "scheduler_api", "--version"], text=True)
    assert version.endswith(f", version {__version__}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_and_ends_in_peace(
    database: Database, worker_database: URL, number: signal.Signals
) -> None:
    async with services(1, worker_database) as (service,):
        async with AsyncClient(base_url=service.url) as client:
            assert (await client.get("/readyz")).json()["checks"]["ticker"] == "ok"
        assert await service.stop(number) == 0
    assert b"Traceback" not in service.said


# All other tests spell it "postgresql".
@pytest.mark.parametrize("scheme", ["postgres", "postgresql+asyncpg"])
async def test_every_spelling_of_the_url_is_taken(
    database: Database, worker_database: URL, scheme: str
) -> None:
    url = dsn(worker_database).replace("postgresql", scheme, 1)
    service = await Service.start(None, SCHEDULER_DATABASE_URL=url)
    assert await service.stop() == 0


async def test_what_is_wrong_with_the_database_is_one_line_without_the_password(
    worker_database: URL,
) -> None:
    lost = worker_database.set(database="nowhere", password="hunter2")
    line = await refusal(lost, code=EXIT_UNAVAILABLE)
    assert 'database "nowhere" does not exist' in line
    unknown = URL.create("postgresql", "u", "hunter2", host="no.such.host.invalid", database="d")
    assert "hunter2" not in await refusal(unknown, code=EXIT_UNAVAILABLE)
    nobody = URL.create("postgresql", "u", "hunter2", host="127.0.0.1", port=1, database="d")
    assert "hunter2" not in await refusal(nobody, code=EXIT_UNAVAILABLE)


async def test_a_wrong_password_is_one_line(database: Database, worker_database: URL) -> None:
    """Where the server asks for none, a user that may not log in stands for it."""
    stranger = worker_database.set(username="stranger", password="hunter2")
    line = await refusal(stranger, code=EXIT_UNAVAILABLE)
    assert "stranger" in line
    assert "hunter2" not in line


async def test_a_schema_that_is_not_there_is_refused_with_the_way_out(unmigrated: URL) -> None:
    line = await refusal(unmigrated, code=EXIT_UNAVAILABLE)
    assert f"this version needs {migrations.needed()}" in line
    assert "scheduler-api migrate" in line


async def test_migrate_migrates_once(unmigrated: URL) -> None:
    code, out, _ = await ends("migrate", database=unmigrated)
    assert (code, out) == (0, f"The schema is at {migrations.needed()}.\n")
    code, out, _ = await ends("migrate", database=unmigrated)
    assert (code, out) == (0, f"The schema is at {migrations.needed()} already.\n")


async def test_tables_are_distributed_once_and_serve_as_before(unmigrated: URL) -> None:
    environment = {"SCHEDULER_DATABASE_CELLS": "16", "SCHEDULER_AUTO_MIGRATE": "true"}
    code, out, err = await ends("distribute", database=unmigrated)
    assert (code, out) == (EXIT_CONFIG, "")
    assert "Set SCHEDULER_DATABASE_CELLS" in err
    line = await refusal(unmigrated, code=EXIT_UNAVAILABLE, **environment)
    assert "SCHEDULER_DATABASE_CELLS is 16, but the tables are not distributed" in line
    # Nobody is there to say yes.
    code, out, _ = await ends("distribute", database=unmigrated, **environment)
    assert code == 1
    assert "- Keys end with the cell" in out
    code, out, _ = await ends("distribute", "--yes", database=unmigrated, **environment)
    assert code == 0
    assert "They get a column, cell: jobid modulo 16." in out
    code, out, err = await ends("distribute", "--yes", database=unmigrated, **environment)
    assert (code, out) == (EXIT_UNAVAILABLE, "")
    assert "The tables are distributed already." in err
    async with (
        services(2, unmigrated, **environment) as started,
        AsyncClient(base_url=started[1].url, headers={"accept": "application/json"}) as client,
    ):
        draft = {"jobname": "Every second", "interval": 1}
        jobids = [(await client.post("/jobs", json=draft)).json()["jobid"] for _ in range(3)]
        async with asyncio.timeout(PATIENCE):
            for jobid in jobids:
                while "finished" not in (await client.get(f"/jobs/{jobid}")).text:
                    await asyncio.sleep(0.05)


async def test_replicas_started_together_migrate_once(unmigrated: URL) -> None:
    async with services(3, unmigrated, SCHEDULER_AUTO_MIGRATE="true", SCHEDULER_TICKER="off") as started:
        assert [await service.stop() for service in started] == [0, 0, 0]
    done = [line for service in started for line in service.said.splitlines() if b'"migrated"' in line]
    assert len(done) == len(list((ROOT / "alembic" / "versions").glob("0*.py")))


async def test_an_open_address_needs_a_word(worker_database: URL) -> None:
    for host in ("0.0.0.0", "::", "scheduler.example"):
        line = await refusal(worker_database, "--host", host, code=EXIT_CONFIG)
        assert host in line
        assert "SCHEDULER_AUTH=required" in line


async def test_an_open_address_is_announced(database: Database, worker_database: URL) -> None:
    line = await refusal(worker_database, "--host", "0.0.0.0", code=EXIT_CONFIG, SCHEDULER_AUTH="off")
    assert "SCHEDULER_ALLOWED_HOSTS" in line
    named = {"SCHEDULER_AUTH": "off", "SCHEDULER_ALLOWED_HOSTS": "localhost,127.0.0.1"}
    service = await Service.start(worker_database, "--host", "0.0.0.0", "--port", "0", **named)
    assert await service.stop() == 0
    assert b"everybody who reaches the port" in service.said


async def test_a_port_in_use_is_one_line(database: Database, worker_database: URL) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, err = await ends("serve", "--port", port, database=worker_database)
    assert code == EXIT_CONFIG
    assert f"port {port} on 127.0.0.1" in err.splitlines()[-1]
    assert "Traceback" not in err


async def test_settings_that_make_no_sense_are_named(worker_database: URL) -> None:
    code, _, err = await ends(
        "serve", database=None, SCHEDULER_PORT="many", SCHEDULER_DATABASE_URL="mysql://u:hunter2@h/d"
    )
    assert code == EXIT_CONFIG
    assert "SCHEDULER_PORT: " in err
    assert "SCHEDULER_DATABASE_URL: must start with postgresql://" in err
    assert "hunter2" not in err


async def test_the_wheel_serves_outside_the_checkout(unmigrated: URL, tmp_path: Path) -> None:
    """Migrations, templates and static files come with it."""
    checkout, site = tmp_path / "checkout", tmp_path / "site"
    shutil.copytree(
        ROOT, checkout, ignore=shutil.ignore_patterns(".*", "tests", "__pycache__", "benchmarks", "dist")
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(checkout)]
    await asyncio.to_thread(subprocess.run, wheel, check=True, capture_output=True)
    (built,) = tmp_path.glob("*.whl")
    install = [*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(built)]
    await asyncio.to_thread(subprocess.run, install, check=True, capture_output=True)
    shutil.rmtree(checkout)
    own = {
        "PYTHONPATH": str(site),
        "PYTHONSAFEPATH": "1",
        "SCHEDULER_DATABASE_URL": dsn(unmigrated),
        "SCHEDULER_AUTO_MIGRATE": "true",
    }
    where = [sys.executable, "-c", "import scheduler_api; print(scheduler_api.__file__)"]
    found = await asyncio.to_thread(
        subprocess.run, where, check=True, capture_output=True, text=True, env=os.environ | own
    )
    assert Path(found.stdout.strip()).is_relative_to(site)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scheduler_api", "serve", "--port", "0"),
        env=os.environ | own,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE), AsyncClient(base_url=await announced(process)) as client:
            page = await client.get("/jobs", headers={"accept": "text/html"})
            assert "No jobs yet" in page.text
            assert (await client.get("/static/style.css")).status_code == 200
            assert (await client.get("/static/swagger-ui/swagger-ui-bundle.js")).status_code == 200
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


async def announced(process: asyncio.subprocess.Process) -> str:
    """The address that a service says it serves on."""
    assert process.stderr is not None
    async for line in process.stderr:
        if found := SERVING.search(line):
            return found.group(1).decode()
    raise AssertionError("the service ended")


async def test_check_says_what_is_wrong_and_by_its_exit_code(
    database: Database, worker_database: URL
) -> None:
    await add_job(database, interval=60, startdate=NOON.date(), starttime=NOON.time())
    code, out, _ = await ends("check", database=worker_database)
    assert (code, out) == (
        0,
        "1 job checked: 0 expected, 0 accounted, 0 rows, 0 holes, 0 doubles, 0 strays, 0 miscounts,"
        " 0 invariants.\n",
    )
    await execute(database, "UPDATE joblog SET scheduledfor = '2030-01-31 12:02Z'")
    code, out, _ = await ends("check", "1", database=worker_database)
    assert code == 1
    assert out.startswith("job 1: hole at 2030-01-31T12:00:00Z, 2: No log accounts for them.\n")
    code, _, err = await ends("check", "99", database=worker_database)
    assert (code, err.strip()) == (EXIT_UNAVAILABLE, "Job 99 does not exist.")
