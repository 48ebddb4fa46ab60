"""PgBouncer in transaction mode, in front of the server that the tests use.

Set SCHEDULER_TEST_POOLER to its program; then every pool of the service and of the tests goes through it.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from scheduler_api.database.connections import Endpoints, PoolOptions
from scheduler_api.database.engine import Database
from tests.servers import dsn

#: The program, and where what it listens on is kept for workers and processes.
PROGRAM, ADDRESS = "SCHEDULER_TEST_POOLER", "SCHEDULER_TEST_POOLER_ADDRESS"
#: Far fewer connections than clients: whoever counts on one of its own is found out.
CONFIG = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 2000
server_round_robin = 1
query_wait_timeout = 60
"""
SECONDS = 10.0


class PgBouncer:
    """A running pooler."""

    def __init__(self, program: str, server: URL) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self._folder = Path(tempfile.mkdtemp(prefix="scheduler-pooler-"))
        file = self._folder / "pgbouncer.ini"
        query = server.query
        file.write_text(
            CONFIG.format(
                host=query.get("host", server.host),
                port=query.get("port", server.port or 5432),
                user=server.username,
                own_port=self.port,
            )
        )
        self._folder.chmod(0o755)
        # It refuses to run as root.
        user: tuple[str, ...] = ()
        if os.getuid() == 0:
            user = ("-u", pwd.getpwuid(Path(str(query["host"])).stat().st_uid).pw_name)
        self._process = subprocess.Popen([program, "-q", *user, str(file)], stderr=subprocess.PIPE)
        self._await()

    @property
    def address(self) -> str:
        return f"postgresql+asyncpg://scheduler@127.0.0.1:{self.port}/"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)

    def _await(self) -> None:
        give_up = time.monotonic() + SECONDS
        while time.monotonic() < give_up and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except ConnectionRefusedError:
                time.sleep(0.01)
            else:
                return
        assert self._process.stderr is not None
        raise AssertionError(f"PgBouncer does not start: {self._process.stderr.read().decode()}")


def endpoints(url: URL) -> Endpoints:
    """How the pools of the tests reach a database of the server."""
    address = os.environ.get(ADDRESS)
    return Endpoints(url) if address is None else Endpoints(make_url(address).set(database=url.database), url)


def environment(url: URL) -> dict[str, str]:
    """How a process reaches it."""
    found = endpoints(url)
    if found.direct is None:
        return {"SCHEDULER_DATABASE_URL": dsn(url)}
    return {
        "SCHEDULER_DATABASE_URL": dsn(found.url),
        "SCHEDULER_DATABASE_POOLER": "transaction",
        "SCHEDULER_DATABASE_DIRECT_URL": dsn(url),
    }


@contextlib.asynccontextmanager
async def hurried(url: URL, seconds: float) -> AsyncIterator[Database]:
    """Connections whose statements may take so many seconds."""
    database = Database(
        endpoints(url), name="hurried", pool=PoolOptions(2, 0, 5.0), statement_timeout=seconds
    )
    try:
        yield database
    finally:
        await database.close()
