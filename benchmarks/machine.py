"""What the figures depend on: the machine, the versions, the command."""

import os
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

from sqlalchemy.engine import URL

from benchmarks.server import bare_connection

LIBRARIES = (
    *("fastapi", "sqlalchemy", "asyncpg", "aiohttp", "pydantic", "uvicorn", "uvloop"),
    *("apscheduler", "procrastinate"),
)
PROCESSORS = Path("/proc/cpuinfo")


async def setting(server: URL) -> list[str]:
    """One line for each."""
    async with bare_connection(server) as connection:
        postgres = await connection.fetchval("SHOW server_version")
        fsync = await connection.fetchval("SHOW fsync")
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return [
        f"machine: {os.cpu_count()} × {_processor()}, {platform.system()} {platform.machine()}",
        f"PostgreSQL {postgres.partition(' ')[0]}, fsync {fsync}; Python {platform.python_version()}",
        f"libraries: {libraries}",
        f"command: `{shlex.join(['python', '-m', 'benchmarks', *sys.argv[1:]])}`",
    ]


def _processor() -> str:
    if PROCESSORS.exists():
        for line in PROCESSORS.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or "processor"
