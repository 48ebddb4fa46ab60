"""Chromium: where it is, how it comes there, how it is started."""

import contextlib
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

#: A browser to use instead of the system's.
GIVEN = "SCHEDULER_TEST_CHROMIUM"
SYSTEMS = Path("/usr/bin/chromium")
INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "chromium")
#: Seconds; it takes a fifth of that.
INSTALL_PATIENCE = 50
#: Asks nobody but the pages' own server; what is left out needs hardware or is a service of its maker.
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoBrowser(Exception):
    """Why there is none, and how to get one."""


def chromium() -> str:
    """The program; installed first where that is simple. Raises NoBrowser."""
    if given := os.environ.get(GIVEN):
        return given
    if os.environ.get("CI"):
        raise NoBrowser(f"CI is set, and {GIVEN} names no browser")
    if not SYSTEMS.exists() and os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
    if not SYSTEMS.exists():
        raise NoBrowser(f"there is no {SYSTEMS}; install Chromium, or name one in {GIVEN}")
    return str(SYSTEMS)


def flags() -> list[str]:
    """How to start it. Its sandbox refuses root."""
    return [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def _install() -> None:
    """Install it once, however many workers ask; what came of it shows in whether it is there."""
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if SYSTEMS.exists():
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                INSTALL,
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=INSTALL_PATIENCE,
            )
