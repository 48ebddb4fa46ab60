"""Programs that take part in a measurement, each in a process of its own."""

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.engine import URL

from benchmarks.server import dsn
from scheduler_api.tokens import new_key

CHECKOUT = Path(__file__).parents[1]
#: Seconds for a server to answer; for a program to end after it was asked to.
START, STOP = 30.0, 30.0


class Server(NamedTuple):
    """A process that listens."""

    port: int
    pid: int


class Admin(NamedTuple):
    """An admin's key, and the settings of a service that lets nobody in without one."""

    key: str
    settings: Mapping[str, str]


@contextlib.contextmanager
def admin() -> Iterator[Admin]:
    """The first admin's key, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="scheduler-bench-") as folder:
        key, file = new_key(), Path(folder) / "key"
        file.write_text(key)
        yield Admin(key, {"SCHEDULER_AUTH": "required", "SCHEDULER_BOOTSTRAP_KEY_FILE": str(file)})


@contextlib.asynccontextmanager
async def service(url: URL, settings: Mapping[str, str] | None = None) -> AsyncIterator[int]:
    """`scheduler-api serve` on this database; its port."""
    async with replica(url, settings) as server:
        yield server.port


@contextlib.asynccontextmanager
async def replica(url: URL, settings: Mapping[str, str] | None = None) -> AsyncIterator[Server]:
    """The same, where its process matters, too."""
    port = free_port()
    own = {"SCHEDULER_DATABASE_URL": dsn(url), "SCHEDULER_PORT": str(port), "SCHEDULER_LOG_LEVEL": "warning"}
    # Whatever the developer has set does not change what is measured.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    command = [sys.executable, "-m", "scheduler_api", "serve"]
    async with _running(command, port, kept | own | dict(settings or {})) as pid:
        yield Server(port, pid)


@contextlib.asynccontextmanager
async def module(name: str, url: URL) -> AsyncIterator[int]:
    """A server among the benchmarks, on this database; its port."""
    port = free_port()
    command = [sys.executable, "-m", f"benchmarks.{name}", dsn(url), str(port)]
    async with _running(command, port, dict(os.environ)):
        yield port


@contextlib.asynccontextmanager
async def receiver() -> AsyncIterator[int]:
    """A target for calls; its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.receiver"), cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START):
            port = int(await process.stdout.readline())
        yield port
    finally:
        await _stop(process)


async def answer_of(name: str, *arguments: str, asked: bytes = b"") -> bytes:
    """What a program among the benchmarks writes before it ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"benchmarks.{name}", *arguments),
        cwd=CHECKOUT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        said, _ = await process.communicate(asked)
    finally:
        await _stop(process)
    if process.returncode:
        raise RuntimeError(f"benchmarks.{name} ended with {process.returncode}")
    return said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def _running(command: list[str], port: int, environment: dict[str, str]) -> AsyncIterator[int]:
    """Its process id."""
    process = await asyncio.create_subprocess_exec(*command, cwd=CHECKOUT, env=environment)
    try:
        await _answers(process, port)
        yield process.pid
    finally:
        await _stop(process)


async def _answers(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(START):
        while process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)
    raise RuntimeError(f"a server ended with {process.returncode} before it listened")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
