"""The database of a run: durable, and started anew whenever it was made to crash."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.engine import URL

from scheduler_api.database.embedded import NAME, PORT, EmbeddedServer, EmbeddedServerError
from tests.chaos.plan import Deeds

SETTINGS = {"fsync": "on", "max_connections": "200"}
#: What may come of asking a database that crashes.
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, EmbeddedServerError)
PATIENCE = 60.0
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'scheduler-api%' ORDER BY pid"


class Postgres:
    """A server that crashes on demand."""

    def __init__(self, folder: Path, deeds: Deeds) -> None:
        self._folder = folder
        self._deeds = deeds
        self._server = EmbeddedServer(folder, settings=SETTINGS)
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and see to it that it comes back after each crash."""
        await self._server.start()
        self._keeper = asyncio.create_task(self._keep_up())

    async def stop(self) -> None:
        """Shut it down for good."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        await self._server.stop()

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._server.socket_dir / f".s.PGSQL.{PORT}"

    def url(self, port: int) -> URL:
        """Of the same database, by way of a port of this machine."""
        return URL.create("postgresql", NAME, host="127.0.0.1", port=port, database=NAME)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection that goes no detour. Raises one of AWAY where there is none to be had."""
        where = {"host": str(self._server.socket_dir), "port": int(PORT), "user": NAME, "database": NAME}
        connection = await asyncpg.connect(**where, timeout=5, command_timeout=60)
        try:
            yield connection
        finally:
            connection.terminate()

    async def fetch(self, query: str, *values: Any) -> list[asyncpg.Record]:
        """The rows, as soon as the database answers."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                async with self.connection() as connection:
                    rows: list[asyncpg.Record] = await connection.fetch(query, *values)
                    return rows
            except AWAY:
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(0.05)

    async def crash(self, way: str, chance: random.Random) -> bool:
        """Kill the server (`kill`), stop it without a checkpoint (`quit`), or kill a backend of it."""
        pid = self._pid()
        if way == "backend":
            with contextlib.suppress(*AWAY):
                async with self.connection() as connection:
                    pids = [row["pid"] for row in await connection.fetch(BACKENDS)]
                pid = chance.choice(pids) if pids else None
        if pid is None:
            return False
        since = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT if way == "quit" else signal.SIGKILL)
            self._deeds.crashes += 1
            # It is still there for a moment.
            await asyncio.sleep(0.1)
            await self.fetch("SELECT 1")
            self._deeds.recoveries.append(time.monotonic() - since)
            return True
        return False

    async def terminate(self, most: int, chance: random.Random) -> bool:
        """End some connections of the service on the server's side."""
        async with self.connection() as connection:
            pids = [row["pid"] for row in await connection.fetch(BACKENDS)]
            chosen = chance.sample(pids, min(most, len(pids)))
            await connection.fetch("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", chosen)
        return bool(chosen)

    async def lock(self, seconds: float) -> bool:
        """Keep everybody out of the ledger for a while."""
        async with self.connection() as connection:
            await connection.execute("SET lock_timeout = '2s'")
            await connection.execute("BEGIN; LOCK TABLE joblog")
            await asyncio.sleep(seconds)
        return True

    def _pid(self) -> int | None:
        """Of the postmaster; None: it is just being started."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            lines = (self._folder / "cluster" / "postmaster.pid").read_text().splitlines()
            return int(lines[0]) if lines[7].strip() == "ready" else None
        return None

    async def _keep_up(self) -> None:
        while True:
            await self._server.ended()
            try:
                await self._server.start()
            except EmbeddedServerError:
                await asyncio.sleep(0.2)
