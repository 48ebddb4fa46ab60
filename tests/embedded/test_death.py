"""Whatever dies, the server ends with its owner, and the next start has all data."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from scheduler_api.embedded.server import EmbeddedServerError

from .conftest import (
    Embed,
    Serve,
    User,
    as_root_only,
    ask,
    connect,
    eventually,
    lives,
    log_of,
    read,
    server_of,
    supervisor_of,
    wait_until_gone,
    write,
)

#: A start after one of these is no recovery: the server was shut down, not cut off.
CLEAN = "database system is shut down"
RECOVERED = "was not properly shut down"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_the_server_ends_with_its_service(
    number: int, serve: Serve, embed: Embed, data_dir: Path
) -> None:
    service = serve(data_dir)
    url = service.tells("started")
    await write(url, "committed")
    server, supervisor = server_of(data_dir), supervisor_of(data_dir)
    service.dies_of(number)
    wait_until_gone(supervisor)
    assert not lives(server)
    assert CLEAN in log_of(data_dir)
    assert str(await embed(data_dir).start()) == url
    assert await read(url) == ["committed"]
    assert RECOVERED not in log_of(data_dir)


@as_root_only
async def test_the_server_ends_with_the_service_of_a_user(
    serve: Serve, embed: Embed, data_dir: Path, ordinary_user: User
) -> None:
    service = serve(data_dir, user=ordinary_user)
    await write(service.tells("started"), "committed")
    supervisor = supervisor_of(data_dir)
    service.dies_of(signal.SIGKILL)
    wait_until_gone(supervisor)
    assert CLEAN in log_of(data_dir)
    assert await read(await embed(data_dir).start()) == ["committed"]


async def test_the_server_ends_with_a_service_that_fails(serve: Serve, data_dir: Path) -> None:
    service = serve(data_dir, "fail")
    service.tells("started")
    service.tells("waiting")
    supervisor = supervisor_of(data_dir)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait() == 1
    wait_until_gone(supervisor)
    assert CLEAN in log_of(data_dir)


async def test_a_service_that_is_interrupted_may_end_its_work(serve: Serve, data_dir: Path) -> None:
    service = serve(data_dir, "leave", LOOP="uvloop")
    service.tells("started")
    service.tells("waiting")
    server = server_of(data_dir)
    # Ctrl-C in a terminal: the whole process group gets it.
    os.killpg(service.process.pid, signal.SIGINT)
    assert service.tells("answered") == 1
    service.tells("stopped")
    assert service.process.wait() == 0
    assert not lives(server)


async def test_a_forked_worker_does_not_keep_the_server(serve: Serve, data_dir: Path) -> None:
    service = serve(data_dir, "fork")
    service.tells("started")
    worker, supervisor = service.tells("forked"), supervisor_of(data_dir)
    try:
        service.dies_of(signal.SIGKILL)
        wait_until_gone(supervisor)
        assert CLEAN in log_of(data_dir)
        assert lives(worker)
    finally:
        os.kill(worker, signal.SIGKILL)


async def test_a_killed_supervisor_is_replaced(serve: Serve, data_dir: Path) -> None:
    service = serve(data_dir, "heal", LOOP="uvloop")
    url = service.tells("started")
    await write(url, "committed")
    orphan = server_of(data_dir)
    os.kill(supervisor_of(data_dir), signal.SIGKILL)
    assert service.tells("ended") == [-signal.SIGKILL, ""]
    assert service.tells("started") == url
    assert not lives(orphan)
    assert await read(url) == ["committed"]
    assert RECOVERED not in log_of(data_dir)


async def test_an_orphan_is_replaced_by_the_next_service(serve: Serve, embed: Embed, data_dir: Path) -> None:
    service = serve(data_dir)
    await write(service.tells("started"), "committed")
    orphan, supervisor = server_of(data_dir), supervisor_of(data_dir)
    for number in (supervisor, service.process.pid):
        os.kill(number, signal.SIGKILL)
    wait_until_gone(supervisor)
    assert lives(orphan)
    assert await read(await embed(data_dir).start()) == ["committed"]
    assert not lives(orphan)
    assert RECOVERED not in log_of(data_dir)


async def test_a_killed_server_is_recovered(embed: Embed, data_dir: Path) -> None:
    server = embed(data_dir)
    url = await server.start()
    await write(url, "committed")
    os.kill(server_of(data_dir), signal.SIGKILL)
    assert await server.ended() == 1
    assert "PostgreSQL ended by itself" in server.last_words
    assert "status -9" in server.last_words
    assert "ready to accept connections" in server.last_words
    assert await server.start() == url
    assert await read(url) == ["committed"]
    assert RECOVERED in log_of(data_dir)


async def test_a_killed_server_is_recovered_once_its_last_backend_is_gone(
    embed: Embed, data_dir: Path
) -> None:
    server = embed(data_dir)
    url = await server.start()
    await write(url, "committed")
    busy = await connect(url)
    backend = await busy.fetchval("SELECT pg_backend_pid()")
    endless = asyncio.create_task(busy.execute("DO 'BEGIN LOOP END LOOP; END'"))
    await asyncio.sleep(0)
    os.kill(server_of(data_dir), signal.SIGKILL)
    await server.ended()
    start = asyncio.create_task(server.start())
    await eventually(lambda: "is still in use" in log_of(data_dir))
    assert not start.done()
    os.kill(backend, signal.SIGTERM)
    assert await read(await start) == ["committed"]
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await endless


async def test_a_terminated_supervisor_shuts_the_server_down(embed: Embed, data_dir: Path) -> None:
    server = embed(data_dir)
    url = await server.start()
    os.kill(supervisor_of(data_dir), signal.SIGTERM)
    assert await server.ended() == 0
    assert await server.start() == url
    assert RECOVERED not in log_of(data_dir)


async def test_a_long_recovery_is_waited_for(
    embed: Embed, data_dir: Path, wrapped: Callable[[str], Path]
) -> None:
    gate = data_dir.with_name("gate")
    os.mkfifo(gate)
    server = embed(data_dir, programs=wrapped(f"echo recovering {gate}; : < {gate}"))
    with capture_logs() as logs:
        start = asyncio.create_task(server.start())
        await eventually(lambda: len(logs) > 1)
        assert not start.done()
    assert {entry["said"] for entry in logs} == {f"PostgreSQL is still starting: recovering {gate}"}
    with gate.open("w"):
        await start


async def test_a_cancelled_start_leaves_no_process(
    embed: Embed, data_dir: Path, wrapped: Callable[[str], Path]
) -> None:
    gate, pid = data_dir.with_name("gate"), data_dir / "pid"
    os.mkfifo(gate)
    server = embed(data_dir, programs=wrapped(f"echo $$ > {pid}; : < {gate}"))
    start = asyncio.create_task(server.start())
    await eventually(lambda: pid.exists() and pid.read_text())
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not lives(int(pid.read_text()))
    assert await server.ended() == 0


async def test_a_death_while_the_cluster_is_made_leaves_no_half_of_it(
    folder: Path, embed: Embed, wrapped: Callable[[str], Path]
) -> None:
    programs, data_dir, gate, pid = wrapped(":"), folder / "data", folder / "gate", folder / "data" / "pid"
    os.mkfifo(gate)
    real = (programs / "initdb").resolve()
    (programs / "initdb").unlink()
    (programs / "initdb").write_text(f'#!/bin/sh\n"{real}" "$@" && echo $PPID >{pid} && cat {gate}\n')
    (programs / "initdb").chmod(0o755)
    server = embed(data_dir, programs=programs)
    start = asyncio.create_task(server.start())
    with await asyncio.to_thread(gate.open, "w"):
        os.kill(int(pid.read_text()), signal.SIGKILL)
        with pytest.raises(EmbeddedServerError, match="did not start"):
            await start
    assert not (data_dir / "cluster").exists()
    (left,) = data_dir.glob("cluster.init.*")
    assert await ask(await embed(data_dir).start(), "SELECT 1") == 1
    assert (left / "PG_VERSION").exists()
