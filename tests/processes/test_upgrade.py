"""From one version to the next without a pause, and back: replicas of both, one database, a balancer.

The last release and the present code; the present code and a next version. That has more migrations: one adds
a column, one fills it and builds an index, and one takes away what only the present code uses.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import URL

from scheduler_api.database import versions
from scheduler_api.database.engine import Database
from scheduler_api.services.history import checks
from tests import pooler
from tests.factories import add_job, connected, execute, rows, scalar
from tests.processes.service import PATIENCE, Program, Service
from tests.receiver import Receiver, receiving

ROOT = Path(__file__).parents[2]
#: What the next version needs; after it comes what takes away.
NEXT = versions.VERSION + 2
HEAD = """
from alembic import op
from scheduler_api.database.upgrading import build_index, outdate
revision, down_revision, branch_labels, depends_on = "{own:04}", "{before:04}", None, None
"""
EXPAND = """
def upgrade():
    op.execute("ALTER TABLE job ADD COLUMN more text NOT NULL DEFAULT ''")
"""
BUILD = """
def upgrade():
    with op.get_context().autocommit_block():
        op.execute("UPDATE job SET more = owner")
    build_index("job_more", "ON job (more)")
"""
CONTRACT = """
CONTRACTING = True

def upgrade():
    outdate({own})
    op.execute("ALTER TABLE concurrencylimit DROP COLUMN IF EXISTS nothing")
"""
JOBS = 6


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def successor(tmp_path: Path) -> Path:
    """The code of the next version."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignored)
    shutil.copytree(ROOT / "alembic", tmp_path / "alembic", ignore=ignored)
    for number, text in enumerate((EXPAND, BUILD, CONTRACT), versions.VERSION + 1):
        path = tmp_path / "alembic" / "versions" / f"{number:04}_next.py"
        path.write_text(HEAD.format(own=number, before=number - 1) + text.format(own=NEXT))
    return tmp_path


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The code of the last release."""
    commit = Path(__file__).with_name("last-release").read_text().strip()
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "cat-file", "-e", commit], capture_output=True, check=False).returncode:
        pytest.skip(f"The last release, {commit}, is not in this checkout: fetch its history.")
    packed = tmp_path / "released.tar"
    subprocess.run([*git, "archive", "--output", str(packed), commit, "src", "alembic"], check=True)
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "released", filter="data")
    return tmp_path / "released"


def own(code: Path, url: URL) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    given = {"SCHEDULER_AUTO_MIGRATE": "true", "SCHEDULER_LEASE": "2", "SCHEDULER_TICKER_INTERVAL": "0.2"}
    return kept | pooler.environment(url) | given | {"PYTHONPATH": str(code / "src")}


async def start(code: Path, url: URL, *command: str) -> Program:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scheduler_api", *command), env=own(code, url), cwd=code,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    return Program(process, process.stdout, process.stderr)


class Replicas:
    """Replicas behind a balancer, which asks each whether it is ready, and sends work to those that are."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []
        self._there: list[Service] = []
        self._killed: set[str] = set()
        self._asking = asyncio.Lock()
        self._client = httpx.AsyncClient(timeout=PATIENCE)

    async def add(self, code: Path) -> Service:
        service = Service(await start(code, self._url, "serve", "--port", "0"))
        async with asyncio.timeout(PATIENCE):
            await service._begin()
        self._there.append(service)
        return service

    async def drop(self, service: Service, number: signal.Signals) -> None:
        """What is asked of a replica that is killed has no answer; all else has.

        Before one is stopped, the balancer sends it nothing more, and waits for its answers.
        """
        if number is signal.SIGKILL:
            self._killed.add(service.url)
            self._there.remove(service)
        else:
            async with self._asking:
                self._there.remove(service)
        await service.stop(number)

    async def work(self) -> None:
        """Ask for pages, lists and runs, without end."""
        for number in range(10**9):
            for service in tuple(self._there):
                async with self._asking:
                    try:
                        if service in self._there and await self._is_ready(service):
                            await self._ask(service, number % JOBS + 1)
                    except httpx.TransportError:
                        if service.url not in self._killed:
                            raise
            await asyncio.sleep(0.05)

    async def _is_ready(self, service: Service) -> bool:
        return (await self._client.get(f"{service.url}/readyz")).status_code == 200

    async def _ask(self, service: Service, jobid: int) -> None:
        for method, path in (
            ("GET", f"/jobs/{jobid}"),
            ("POST", f"/jobs/{jobid}/run"),
            ("POST", "/jobs/run"),
        ):
            answer = await self._client.request(method, f"{service.url}{path}")
            self.statuses[answer.status_code] += 1
            if answer.status_code >= 300:
                self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text}")

    async def close(self) -> None:
        await self._client.aclose()
        for service in self._there:
            await service.stop(signal.SIGKILL)


@pytest.fixture
async def replicas(scratch: URL) -> AsyncIterator[Replicas]:
    replicas = Replicas(scratch)
    yield replicas
    await replicas.close()


@contextlib.asynccontextmanager
async def at_work(replicas: Replicas) -> AsyncIterator[None]:
    """While the balancer sends work."""
    working = asyncio.create_task(replicas.work())
    try:
        yield
    finally:
        working.cancel()
        (ended,) = await asyncio.gather(working, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError), ended


async def more(receiver: Receiver) -> None:
    """Wait until work goes on."""
    async with asyncio.timeout(PATIENCE):
        await receiver.arrived(len(receiver.requests) + JOBS)


async def add_jobs(database: Database, receiver: Receiver) -> None:
    """Jobs that call each second."""
    now = await scalar(database, "SELECT clock_timestamp()")
    due = now.replace(microsecond=0) + timedelta(seconds=1)
    for _ in range(JOBS):
        await add_job(
            database,
            due=due,
            interval=1,
            startdate=due.date(),
            starttime=due.time(),
            createdat=now,
            validfrom=now,
            overlap=True,
            target={"url": receiver.url, "retries": 3, "backoff": 1},
        )


async def settled(database: Database, replicas: Replicas) -> None:
    """Nothing was refused, nothing lost or doubled, and each call has its attempt."""
    assert replicas.wrong == []
    assert replicas.statuses.total() > 50
    for jobid in range(1, JOBS + 1):
        report = await database.snapshot(checks.check_job, jobid)
        assert report.clean, report.findings
    silent = (
        "SELECT logid FROM joblog WHERE status = 'finished' AND NOT EXISTS (SELECT FROM logattempt"
        " WHERE logattempt.logid = joblog.logid AND outcome = 'finished')"
    )
    assert await rows(database, silent) == []


async def test_the_last_release_and_this_version_share_the_work(
    unmigrated: URL, released: Path, receiver: Receiver
) -> None:
    database = connected(unmigrated)
    replicas = Replicas(unmigrated)
    try:
        first, second = await replicas.add(released), await replicas.add(released)
        await add_jobs(database, receiver)
        async with at_work(replicas):
            await more(receiver)
            # This version comes, and brings what it needs.
            third = await replicas.add(ROOT)
            assert await version(database) >= versions.VERSION - 1
            await more(receiver)
            await replicas.drop(first, signal.SIGKILL)
            await more(receiver)
            # And back.
            fourth = await replicas.add(released)
            await replicas.drop(third, signal.SIGKILL)
            await more(receiver)
            # And forward, for good.
            fifth = await replicas.add(ROOT)
            await replicas.drop(second, signal.SIGTERM)
            await replicas.drop(fourth, signal.SIGTERM)
            await more(receiver)
        await replicas.drop(fifth, signal.SIGTERM)
        await settled(database, replicas)
    finally:
        await replicas.close()
        await database.close()


async def test_versions_change_while_work_goes_on(
    fresh: Database, scratch: URL, successor: Path, replicas: Replicas, receiver: Receiver
) -> None:
    await add_jobs(fresh, receiver)
    first, second = await replicas.add(ROOT), await replicas.add(ROOT)
    async with at_work(replicas):
        await more(receiver)
        # The next version comes: it adds what it needs, and takes away nothing that others use.
        third, sixth = await asyncio.gather(replicas.add(successor), replicas.add(successor))
        assert await version(fresh) == NEXT
        assert b"a migration waits until older replicas go" in third.said + sixth.said
        await more(receiver)
        # One of the present version is killed, another starts anew: they may go back, too.
        await replicas.drop(first, signal.SIGKILL)
        fourth = await replicas.add(ROOT)
        await more(receiver)
        await replicas.drop(third, signal.SIGKILL)
        await replicas.drop(sixth, signal.SIGTERM)
        await more(receiver)
        # And forward: all of the present version go.
        fifth = await replicas.add(successor)
        await replicas.drop(second, signal.SIGTERM)
        await replicas.drop(fourth, signal.SIGTERM)
        await more(receiver)
        # The one that was killed may only be cut off, for some minutes.
        said = await migrated(successor, scratch)
        assert said.startswith(f"The schema is at {NEXT:04} already.\nWhat only older replicas use")
        assert await version(fresh) == NEXT
        await execute(fresh, "UPDATE replica SET seenat = seenat - interval '4 minutes'")
        assert await migrated(successor, scratch) == f"The schema is at {NEXT + 1:04}.\n"
        await more(receiver)
        # Now the present version is of no use any more, and says so.
        code, _, told = await (await start(ROOT, scratch, "serve", "--port", "0")).ends()
        assert code != 0
        assert b"A newer version of the service has been here" in told
        await more(receiver)
    await replicas.drop(fifth, signal.SIGTERM)
    await settled(fresh, replicas)


async def version(database: Database) -> int:
    return int(await scalar(database, "SELECT version_num FROM alembic_version"))


async def migrated(code: Path, url: URL) -> str:
    """What `scheduler-api migrate` says."""
    ended, out, err = await (await start(code, url, "migrate")).ends()
    assert ended == 0, err.decode()
    return out.decode()
