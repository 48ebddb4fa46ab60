"""How late runs start while the schema changes: millions of runs get another column, and an index."""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
from sqlalchemy.engine import URL

from benchmarks import checks, lateness, programs
from benchmarks.due_jobs import add_parts
from benchmarks.results import Row, at_most, exactly
from benchmarks.server import bare_connection, dsn, fresh_database
from benchmarks.sizes import Sizes
from scheduler_api.database import versions

QUESTION = "lateness of one-second jobs while a column and an index are added to millions of runs"
#: The migrations of a next version.
MIGRATIONS = (
    'op.execute("ALTER TABLE joblog ADD COLUMN more text")',
    'build_index_of_parts("ix_joblog_more", "joblog", "(jobid, more)")',
)
MIGRATION = """
from alembic import op
from scheduler_api.database.upgrading import build_index_of_parts
revision, down_revision, branch_labels, depends_on = "{own:04}", "{before:04}", None, None

def upgrade():
    {change}
"""
#: Seconds before and after the change.
BESIDE = 5
LATEST = """
    SELECT count(*) AS runs, max(extract(epoch FROM startedat - scheduledfor))::float8 * 1000 AS latest
    FROM joblog JOIN job USING (jobid)
    WHERE interval = 1 AND status = 'finished' AND scheduledfor >= $1 AND scheduledfor < $2
"""


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="scheduler-bench-") as folder:
        code = _next_version(Path(folder))
        async with fresh_database(server) as url, bare_connection(url) as connection:
            await _fill(connection, sizes.upgraded)
            async with programs.service(url) as port:
                # The runs that are due by now are no part of it.
                await asyncio.sleep(BESIDE)
                first = await lateness.begin(connection, sizes.upgrade_jobs)
                await asyncio.sleep(lateness.AHEAD)
                async with _reading(port) as statuses:
                    await asyncio.sleep(BESIDE)
                    seconds = await _migrate(code, url)
                    await asyncio.sleep(BESIDE)
                end = await connection.fetchval("SELECT date_trunc('second', clock_timestamp())")
                await asyncio.sleep(lateness.AFTER)
                found = await connection.fetchrow(LATEST, first, end)
    wrong = sum(status != httpx.codes.OK for status in statuses)
    runs = sizes.upgrade_jobs * int((end - first).total_seconds())
    return [
        Row(f"another column and its index, beside {sizes.upgraded:,} runs", [seconds], "s"),
        Row("runs meanwhile", [found["runs"]], "", sizes.judged(exactly(runs))),
        Row("latest start of them", [found["latest"]], "ms", sizes.judged(at_most(1000, " ms"))),
        Row(f"of {len(statuses):,} requests refused", [wrong], "", sizes.judged(exactly(0))),
    ]


def _next_version(folder: Path) -> Path:
    for part in ("src", "alembic"):
        shutil.copytree(programs.CHECKOUT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for own, change in enumerate(MIGRATIONS, versions.VERSION + 1):
        text = MIGRATION.format(own=own, before=own - 1, change=change)
        (folder / "alembic" / "versions" / f"{own:04}_next.py").write_text(text)
    return folder


async def _fill(connection: Any, runs: int) -> None:
    await add_parts(connection, "current_date - 8")
    await connection.execute(checks.JOBS, runs // checks.LOGS)
    await connection.execute(checks.VERSIONS, checks.LOGS)
    await connection.execute(checks.NEXT, checks.LOGS)
    await connection.execute("VACUUM (ANALYZE) job, joblog")


@contextlib.asynccontextmanager
async def _reading(port: int) -> AsyncIterator[list[int]]:
    """The statuses of requests that come one after the other meanwhile."""
    statuses = list[int]()

    async def read() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            while True:
                for path in ("/readyz", "/jobs?limit=20", "/logs?limit=20"):
                    statuses.append((await client.get(path)).status_code)
                await asyncio.sleep(0.05)

    reading = asyncio.create_task(read())
    try:
        yield statuses
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading


async def _migrate(code: Path, url: URL) -> float:
    """Seconds."""
    own = {"PYTHONPATH": str(code / "src"), "SCHEDULER_DATABASE_URL": dsn(url)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    began = perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scheduler_api", "migrate"),
        cwd=code,
        env=kept | own,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode or f"{versions.VERSION + len(MIGRATIONS):04}" not in said.decode():
        raise RuntimeError(f"the migration ended with {process.returncode}: {said.decode()}")
    return perf_counter() - began
