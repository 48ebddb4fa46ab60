"""The database of a run: durable, and started anew whenever it was made to crash."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.engine import URL

from scheduler_api.embedded.server import NAME, PORT
from tests.chaos.clocks import Clock
from tests.chaos.cluster import Cluster, Kit
from tests.chaos.disk import Disk
from tests.chaos.plan import Deeds

#: What may come of asking a database that crashes.
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError)
PATIENCE = 60.0
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'scheduler-api%' ORDER BY pid"
#: What a stranger may lock: the next run of a job, or the job.
LIVE = """
SELECT jobid, logid FROM joblog WHERE status IN ('pending', 'running') AND cause = 'schedule' ORDER BY logid
"""
LOCKS = {
    "run": "SELECT FROM joblog WHERE logid = $1 FOR UPDATE",
    "job": "SELECT FROM job WHERE jobid = $1 FOR UPDATE",
}
IN_STEP = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
RECEIVING = "SELECT count(*) FROM pg_stat_wal_receiver"


class Postgres:
    """A server that crashes, stands still, or is replaced, on demand."""

    def __init__(self, folder: Path, papers: Path, deeds: Deeds, disk: Disk | None, clock: Clock) -> None:
        self._folder = folder
        self._log = papers / "postgres.log"
        self._deeds = deeds
        self._disk = disk
        self._clock = clock
        self._kit: Kit | None = None
        self._cluster: Cluster | None = None
        self._clusters = 0
        self._replacing = False
        self._keeper: asyncio.Task[None] | None = None
        self._place = 0
        self.joined: Callable[[int, Path], None] = lambda *_: None
        """Told of each server beside the first: its place, 0 or 1, and its socket."""

    async def start(self) -> None:
        """Start it, and see to it that it comes back after each crash."""
        self._folder.mkdir()
        if self._disk is not None:
            await self._disk.mount()
        self._kit = Kit.found(self._folder, self._clock.environment)
        self._cluster = self._new()
        await self._cluster.create()
        assert await self._cluster.start(), f"see {self._log}"
        async with self.connection("postgres") as connection:
            await connection.execute(f"CREATE DATABASE {NAME}")
        self._keeper = asyncio.create_task(self._keep_up())

    async def stop(self) -> None:
        """Shut it down for good."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self._cluster is not None:
            await self._cluster.stop()
        if self._disk is not None:
            await self._disk.unmount()

    @property
    def server(self) -> Cluster:
        """The one that counts."""
        assert self._cluster is not None
        return self._cluster

    def url(self, port: int) -> URL:
        """Of the same database, by way of a port of this machine."""
        return URL.create("postgresql", NAME, host="127.0.0.1", port=port, database=NAME)

    def dsn(self, ports: Sequence[int]) -> str:
        """The address of whichever server behind these ports is the primary."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"postgresql://{NAME}@{hosts}/{NAME}?target_session_attrs=read-write"

    @contextlib.asynccontextmanager
    async def connection(
        self, database: str = NAME, server: Cluster | None = None
    ) -> AsyncIterator[asyncpg.Connection]:
        """A connection that goes no detour. Raises one of AWAY where there is none to be had."""
        host = str((server or self.server).socket_dir)
        where = {"host": host, "port": int(PORT), "user": NAME, "database": database}
        connection = await asyncpg.connect(**where, timeout=5, command_timeout=60)
        try:
            yield connection
        finally:
            connection.terminate()

    async def fetch(self, query: str, *values: Any, server: Cluster | None = None) -> list[asyncpg.Record]:
        """The rows, as soon as the database answers."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                async with self.connection(server=server) as connection:
                    rows: list[asyncpg.Record] = await connection.fetch(query, *values)
                    return rows
            except AWAY:
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(0.05)

    async def crash(self, way: str, chance: random.Random) -> bool:
        """Kill the server (`kill`), stop it without a checkpoint (`quit`), or kill a backend of it."""
        pid = self.server.pid
        if way == "backend":
            with contextlib.suppress(*AWAY):
                async with self.connection() as connection:
                    pids = [row["pid"] for row in await connection.fetch(BACKENDS)]
                pid = chance.choice(pids) if pids else None
        if pid is None:
            return False
        since = time.monotonic()
        with contextlib.suppress(ProcessLookupError), self._deeds.harming(NAMES[way]):
            os.kill(pid, signal.SIGQUIT if way == "quit" else signal.SIGKILL)
            self._deeds.crashes += 1
            # It is still there for a moment.
            await asyncio.sleep(0.1)
            await self.fetch("SELECT 1")
            self._deeds.recoveries.append(time.monotonic() - since)
            return True
        return False

    async def terminate(self, limit: int, chance: random.Random) -> bool:
        """End some connections of the service on the server's side."""
        async with self.connection() as connection:
            pids = [row["pid"] for row in await connection.fetch(BACKENDS)]
            chosen = chance.sample(pids, min(limit, len(pids)))
            with self._deeds.harming("end connections"):
                await connection.fetch(
                    "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", chosen
                )
        return bool(chosen)

    async def lock_table(self, kind: str, mode: str, seconds: float) -> bool:
        """Lock the ledger, in a mode of Postgres', for a while."""
        async with self.connection() as connection:
            # Strangers may hold rows of it.
            await connection.execute("SET lock_timeout = '10s'; BEGIN")
            with self._deeds.harming(kind):
                await connection.execute(f"LOCK TABLE joblog IN {mode} MODE")
                await asyncio.sleep(seconds)
                await connection.execute("ROLLBACK")
        return True

    async def lock_row(self, what: str, seconds: float, chance: random.Random) -> bool:
        """Lock a `run` that is to come or under way, or a `job`, as a stranger would."""
        async with self.connection() as connection:
            live = await connection.fetch(LIVE)
            if not live:
                return False
            row = chance.choice(live)
            await connection.execute("SET lock_timeout = '2s'; BEGIN")
            with self._deeds.harming(f"lock a {what}", jobid=row["jobid"]):
                await connection.fetch(LOCKS[what], row["logid" if what == "run" else "jobid"])
                await asyncio.sleep(seconds)
                await connection.execute("ROLLBACK")
        return True

    async def freeze(self, seconds: float) -> bool:
        """Let all of its processes stand still, as a paused machine would."""
        with self._deeds.harming("freeze the database"), self.server.frozen():
            await asyncio.sleep(seconds)
        return True

    async def fill(self, seconds: float) -> bool:
        """Leave it no room on its disk for a while."""
        assert self._disk is not None
        with self._deeds.harming("fill the disk"):
            async with self._disk.full():
                await asyncio.sleep(seconds)
            # Without room it may have crashed, and not come back.
            await self.fetch("SELECT 1")
        return True

    async def step(self, kind: str, ahead: float, seconds: float) -> bool:
        """Set its clock, and set it right again after a while."""
        with self._deeds.harming(kind, offset=ahead):
            try:
                self._deeds.clock_is_wrong = True
                self._clock.set(ahead)
                await asyncio.sleep(seconds)
            finally:
                self._clock.set(0.0)
                self._deeds.clock_is_wrong = False
        return True

    async def fail_over(self, cut: float, chance: random.Random) -> bool:
        """Lose the server with all that only it had; its synchronous standby takes over.

        With `cut`, the standby hears nothing any more for so many seconds before that: nobody may have been
        promised anything meanwhile.
        """
        old, new = self.server, self._new()
        try:
            await new.copy(old)
            assert await new.start(), f"see {self._log}"
            self.joined(1 - self._place, new.socket)
            with self._deeds.harming("fail over"):
                await self._set(old, "synchronous_standby_names = '*'")
                await self._until(old, IN_STEP, 1)
                await asyncio.sleep(chance.uniform(0.5, 2))
                if cut:
                    await self._set(new, "primary_conninfo = ''")
                    await self._until(new, RECEIVING, 0)
                    await asyncio.sleep(cut)
                # Neither of them may be left half way.
                await _surely(self._replace(old, new))
            return True
        finally:
            if self._cluster is old:
                with contextlib.suppress(*AWAY):
                    await self._set(old, "synchronous_standby_names = ''")
                await new.stop()
            shutil.rmtree((old if self._cluster is new else new).folder, ignore_errors=True)

    async def _replace(self, old: Cluster, new: Cluster) -> None:
        self._replacing = True
        try:
            old.kill()
            await old.ended()
            await self.fetch("SELECT pg_promote()", server=new)
            self._cluster, self._place = new, 1 - self._place
        finally:
            self._replacing = False

    async def _set(self, server: Cluster, setting: str) -> None:
        async with self.connection(server=server) as connection:
            await connection.execute(f"ALTER SYSTEM SET {setting}")
            await connection.execute("SELECT pg_reload_conf()")

    async def _until(self, server: Cluster, query: str, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while (await self.fetch(query, server=server))[0]["count"] != count:
                await asyncio.sleep(0.05)

    def _new(self) -> Cluster:
        assert self._kit is not None
        self._clusters += 1
        return Cluster(self._kit, self._folder / f"{self._clusters}", self._log)

    async def _keep_up(self) -> None:
        while True:
            cluster = self.server
            await cluster.ended()
            if self._replacing or cluster is not self.server:
                await asyncio.sleep(0.05)
            elif not await cluster.start():
                await asyncio.sleep(0.2)


NAMES = {"kill": "kill the database", "quit": "quit the database", "backend": "kill a backend"}


async def _surely(work: Coroutine[Any, Any, None]) -> None:
    """Do it to its end, even if we are to stop meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
