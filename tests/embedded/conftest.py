"""Folders, services and users for the tests of the embedded server."""

import asyncio
import contextlib
import dataclasses
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL, make_url

from scheduler_api.embedded.server import EmbeddedServer, installed_programs
from tests import memory

OWNER = Path(__file__).with_name("owner.py")
SOURCES = Path(__file__).parents[2] / "src"
AS_ROOT = os.geteuid() == 0
#: The disk is not under test: what a killed process has written, the kernel still has.
QUICK = {"fsync": "off", "max_connections": "10", "shared_buffers": "2MB"}
PATIENCE = 20.0

#: Bytes that are plenty for clusters in memory: each is a thousand small files.
ROOM = 2 * 2**30

as_root_only = pytest.mark.skipif(not AS_ROOT, reason="only root can be another user")


def state_of(pid: int) -> str:
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def lives(pid: int) -> bool:
    """Whether the process runs: one that only waits to be collected does not."""
    return state_of(pid)[:1] not in ("", "Z")


def wait_until(condition: Callable[[], Any], patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience} s in vain"
        time.sleep(0.03)


def wait_until_gone(pid: int) -> None:
    wait_until(lambda: not lives(pid))


async def eventually(condition: Callable[[], Any]) -> None:
    """The same while the event loop runs on."""
    await asyncio.to_thread(wait_until, condition)


def server_of(data_dir: Path) -> int:
    return int((data_dir / "cluster" / "postmaster.pid").read_text().split("\n")[0])


def supervisor_of(data_dir: Path) -> int:
    return int(subprocess.check_output(["ps", "-o", "ppid=", "-p", str(server_of(data_dir))]))


def log_of(data_dir: Path) -> str:
    return (data_dir / "postgres.log").read_text()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def connect(url: URL | str, **others: Any) -> Any:
    made = make_url(url)
    where = {"host": made.query["host"], "port": int(str(made.query["port"]))}
    return await asyncpg.connect(**(where | {"user": made.username, "database": made.database} | others))


async def ask(url: URL | str, question: str, *values: Any) -> Any:
    connection = await connect(url)
    answer = await connection.fetchval(question, *values)
    await connection.close()
    return answer


async def write(url: URL | str, word: str) -> None:
    await ask(url, "CREATE TABLE IF NOT EXISTS kept (word text)")
    await ask(url, "INSERT INTO kept VALUES ($1)", word)


async def read(url: URL | str) -> Any:
    return await ask(url, "SELECT array_agg(word ORDER BY word) FROM kept")


@dataclasses.dataclass
class User:
    """Somebody to run a service as; `switch` goes in front of the command."""

    uid: int
    gid: int
    switch: list[str]


@pytest.fixture(scope="session")
def ordinary_user() -> User:
    if not AS_ROOT:
        return User(os.getuid(), os.getgid(), [])
    nobody = pwd.getpwnam("nobody")
    # The interpreter may lie in root's home: to read there is all that the capability allows.
    switch = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    reach = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--"]
    return User(nobody.pw_uid, nobody.pw_gid, [*switch, *reach])


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """An open folder with a short path, unlike `tmp_path`, which is closed to other users."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-", dir=memory.place(ROOM))).resolve()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def model(ordinary_user: User) -> Iterator[Path]:
    """The data of a server that ran once, for the ordinary user and so for root too."""

    async def make(data_dir: Path) -> None:
        server = EmbeddedServer(data_dir, settings=QUICK)
        await server.start()
        await server.stop()

    with open_folder() as folder:
        data_dir = folder / "data"
        data_dir.mkdir()
        os.chown(data_dir, ordinary_user.uid, ordinary_user.gid)
        asyncio.run(make(data_dir))
        yield data_dir


@pytest.fixture
def data_dir(model: Path, folder: Path) -> Path:
    """Data that exists, to save the time that a new cluster takes."""
    subprocess.run(["cp", "-a", model, folder], check=True)
    return folder / model.name


Embed = Callable[..., EmbeddedServer]


@pytest.fixture
async def embed(folder: Path) -> AsyncIterator[Embed]:
    """Servers that this process owns."""
    async with contextlib.AsyncExitStack() as stack:

        def embed(data_dir: Path, *, programs: Path | None = None, **settings: str) -> EmbeddedServer:
            server = EmbeddedServer(data_dir, programs=programs, settings=QUICK | settings)
            if data_dir not in server.socket_dir.parents:
                stack.callback(shutil.rmtree, server.socket_dir, ignore_errors=True)
            stack.push_async_callback(server.stop)
            return server

        yield embed


@dataclasses.dataclass
class Service:
    """A process that owns an embedded server."""

    process: subprocess.Popen[str]
    data_dir: Path

    def tells(self, expected: str) -> Any:
        """What comes with the next event, which must be this one."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the service ended ({self.process.wait()}) instead of: {expected}"
        event, said = json.loads(line)
        assert event == expected, f"{event}: {said}"
        return said

    def dies_of(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(PATIENCE)


Serve = Callable[..., Service]


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """Start services in processes of their own, and leave none of their processes behind."""
    services: list[Service] = []

    def serve(
        data_dir: Path, way: str = "stay", *, user: User | None = None, programs: str = "", **variables: str
    ) -> Service:
        settings = [f"{name}={value}" for name, value in QUICK.items()]
        command = [sys.executable, str(OWNER), way, str(data_dir), programs, *settings]
        process = subprocess.Popen(
            [*(user.switch if user else []), *command],
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(SOURCES)} | variables,
        )
        services.append(Service(process, data_dir))
        return services[-1]

    yield serve
    for service in services:
        service.process.kill()
        service.process.communicate()
    for service in services:
        with contextlib.suppress(FileNotFoundError, ValueError):
            end(server_of(service.data_dir))


def end(server: int) -> None:
    """The supervisor ends the server, unless it was killed before."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not lives(server), 2.0)
        return
    os.kill(server, signal.SIGINT)
    wait_until_gone(server)


@pytest.fixture
def wrapped(folder: Path) -> Callable[[str], Path]:
    """Programs whose `postgres` runs a shell line before it starts."""

    def wrap(line: str) -> Path:
        real = installed_programs()
        programs = folder / "programs"
        programs.mkdir(mode=0o755)
        (programs / "initdb").symlink_to(real / "initdb")
        script = f'#!/bin/sh\n[ "$1" = --version ] || {{ {line}; }}\nexec "{real}/postgres" "$@"\n'
        (programs / "postgres").write_text(script)
        (programs / "postgres").chmod(0o755)
        return programs

    return wrap
