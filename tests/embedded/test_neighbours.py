"""Others on the same folder, and others who were given a pid that was ours."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler_api.embedded import supervisor
from scheduler_api.embedded.server import EmbeddedServer, EmbeddedServerError, installed_programs

from .conftest import (
    QUICK,
    Embed,
    Serve,
    User,
    eventually,
    log_of,
    read,
    server_of,
    supervisor_of,
    write,
)


async def test_a_second_service_is_told_who_is_the_first(
    serve: Serve, embed: Embed, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(data_dir)
    url = service.tells("started")
    with pytest.raises(EmbeddedServerError) as refused:
        await embed(data_dir).start()
    assert str(refused.value) == (
        f"Process {service.process.pid} uses {data_dir}: stop it, or set another SCHEDULER_DATA_DIR."
    )
    await write(url, "undisturbed")


async def test_a_successor_waits_for_a_shutdown(embed: Embed, data_dir: Path) -> None:
    lock = os.open(data_dir / "cluster.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    start = asyncio.create_task(embed(data_dir).start())
    _, pending = await asyncio.wait({start}, timeout=supervisor.LOCK_PATIENCE + 1)
    assert pending
    os.close(lock)
    await start


async def killed(server: EmbeddedServer) -> int:
    """Kill the server at once, and answer with the pid that its pid files still name."""
    await write(await server.start(), "committed")
    pid = server_of(server.data_dir)
    os.kill(pid, signal.SIGKILL)
    await server.ended()
    return pid


def give_pid_away(server: EmbeddedServer, pid: int) -> None:
    """As if the system had given the dead server's pid to another process."""
    for path in (server.data_dir / "cluster/postmaster.pid", server.socket_dir / ".s.PGSQL.5432.lock"):
        _, rest = path.read_text().split("\n", 1)
        path.write_text(f"{pid}\n{rest}")


async def test_a_process_that_got_the_servers_pid_is_left_alone(
    embed: Embed, data_dir: Path, ordinary_user: User
) -> None:
    server = embed(data_dir)
    await killed(server)
    stranger = subprocess.Popen([*ordinary_user.switch, "sleep", "600"])
    try:
        give_pid_away(server, stranger.pid)
        assert await read(await server.start()) == ["committed"]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_another_cluster_that_got_the_servers_pid_is_left_alone(
    embed: Embed, data_dir: Path, folder: Path
) -> None:
    other, server = embed(folder / "other"), embed(data_dir)
    await write(await other.start(), "other")
    await killed(server)
    give_pid_away(server, server_of(other.data_dir))
    assert await read(await server.start()) == ["committed"]
    assert await read(other.url) == ["other"]


async def test_a_pid_file_that_is_no_pid_file_is_shown_to_the_user(embed: Embed, data_dir: Path) -> None:
    (data_dir / "cluster/postmaster.pid").write_text("")
    with pytest.raises(EmbeddedServerError, match=r'lock file "postmaster\.pid" is empty; HINT: '):
        await embed(data_dir).start()
    assert (data_dir / "cluster/postmaster.pid").exists()


@pytest.fixture
def stranger_on_the_cluster(data_dir: Path, folder: Path, ordinary_user: User) -> subprocess.Popen[bytes]:
    """A server that was started by hand, in a way that its process does not tell what it is."""
    program = folder / "unknown"
    program.symlink_to(installed_programs() / "postgres")
    settings = [word for name, value in QUICK.items() for word in ("-c", f"{name}={value}")]
    where = ["-D", f"{data_dir}/cluster", "-c", "listen_addresses=", "-k", f"{data_dir}/socket"]
    return subprocess.Popen(
        [*ordinary_user.switch, str(program), *where, *settings],
        stderr=subprocess.DEVNULL,
        cwd="/",
    )


async def test_two_servers_never_run_on_one_cluster(
    embed: Embed, data_dir: Path, stranger_on_the_cluster: subprocess.Popen[bytes]
) -> None:
    server, pid = embed(data_dir), stranger_on_the_cluster.pid
    await eventually(lambda: supervisor.pid_file(data_dir / "cluster") == (str(pid), "ready"))
    assert not supervisor.runs_on(pid, data_dir / "cluster")
    start = asyncio.create_task(server.start())
    await eventually(lambda: "is still in use" in log_of(data_dir))
    assert stranger_on_the_cluster.poll() is None
    stranger_on_the_cluster.send_signal(signal.SIGINT)
    await asyncio.to_thread(stranger_on_the_cluster.wait)
    await start


async def test_a_server_is_told_from_other_processes(embed: Embed, data_dir: Path, folder: Path) -> None:
    await embed(data_dir).start()
    server, cluster = server_of(data_dir), data_dir / "cluster"
    ways = [supervisor.seen_by_ps]
    if sys.platform == "linux":
        ways.append(supervisor.seen_in_proc)
    for seen in ways:
        assert seen(server, cluster)
        assert not seen(supervisor_of(data_dir), cluster)
        assert not seen(os.getpid(), cluster)
        assert not seen(server, folder / "other" / "cluster")
        assert not seen(server, data_dir / "cluste")
