"""A file system of the database's own, which can be made to be full: on Linux, as root."""

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

SIZE = "4g"
TRIES = 20
#: Set for the process that has mounts of its own.
MARK = "CHAOS_OWN_MOUNTS"
FOREIGN = "not here: that needs Linux, root, and `unshare` (make chaos starts it by itself)"


def is_possible() -> bool:
    """Whether file systems may be mounted, and go when we go."""
    return os.environ.get(MARK) == "1"


def go_on_alone() -> None:
    """Start this program anew with mounts of its own, which end with it, if that can be had."""
    unshare = shutil.which("unshare")
    if is_possible() or sys.platform != "linux" or os.geteuid() != 0 or unshare is None:
        return
    command = [unshare, "--mount", "--propagation", "private", "--", sys.executable, "-m", "tests.chaos"]
    os.environ[MARK] = "1"
    os.execv(unshare, [*command, *sys.argv[1:]])


class Disk:
    """Where the data lies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def mount(self) -> None:
        """Make it a file system of its own, in memory."""
        await _run("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(self._folder))

    async def unmount(self) -> None:
        """Give it up, with all that is on it."""
        await _run("umount", "--lazy", str(self._folder))

    @contextlib.asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """Let there be no room left."""
        for _ in range(TRIES):
            # It may have grown since we looked.
            with contextlib.suppress(AssertionError):
                await self._resize(str(self._used()))
                break
        try:
            yield
        finally:
            await self._resize(SIZE)

    def _used(self) -> int:
        """Bytes; no file system becomes smaller than what is on it."""
        found = os.statvfs(self._folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    async def _resize(self, size: str) -> None:
        await _run("mount", "-o", f"remount,size={size}", str(self._folder))


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, f"{' '.join(command)}: {said.decode().strip()}"
