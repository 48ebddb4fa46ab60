"""What people try who know FastAPI and Alembic: their own commands, at the top level."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
from sqlalchemy.engine import URL

from scheduler_api.database import migrations
from tests.servers import dsn

ROOT = Path(__file__).parents[2]
RUNNING = re.compile(rb"Uvicorn running on (http://\S+)")


def environment(url: URL) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    return kept | {"SCHEDULER_DATABASE_URL": dsn(url), "PYTHONPATH": str(ROOT / "src")}


def alembic(url: URL, folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "alembic", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(url), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_alembic_is_at_home(unmigrated: URL, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "alembic", tmp_path / "alembic", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert "head" not in alembic(unmigrated, tmp_path, "current")
    alembic(unmigrated, tmp_path, "upgrade", "head")
    assert f"{migrations.needed()} (head)" in alembic(unmigrated, tmp_path, "current")
    alembic(unmigrated, tmp_path, "revision", "--autogenerate", "-m", "nothing new")
    number = f"{int(migrations.needed()) + 1:04}"
    (made,) = (tmp_path / "alembic" / "versions").glob(f"{number}*.py")
    text = made.read_text()
    assert f"down_revision = '{migrations.needed()}'" in text.replace('"', "'")
    assert "op." not in text.partition("def upgrade")[2]


async def test_uvicorn_serves_the_application(worker_database: URL) -> None:
    """With what a single process needs: its lifespan, and nothing of ours around it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "scheduler_api.app:app", "--port", "0"),
        env=environment(worker_database),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    said = b""
    try:
        async with asyncio.timeout(60):
            while not (found := RUNNING.search(said)):
                said += (line := await process.stderr.readline())
                assert line, said.decode()
        async with httpx.AsyncClient() as client:
            health = await client.get(f"{found.group(1).decode()}/healthz")
        assert health.status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        await process.stderr.read()
        await process.wait()
