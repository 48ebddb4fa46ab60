"""One Postgres server on one data folder: made, copied, started, frozen, ended."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scheduler_api.embedded.server import NAME, PORT, Account, installed_programs, make_data_dir, runnable

#: A folder with the programs of another PostgreSQL, to run instead of the wheel's; as in tests/conftest.py.
PROGRAMS = "SCHEDULER_TEST_PROGRAMS"
SETTINGS = {
    "port": PORT,
    "listen_addresses": "",
    "fsync": "on",
    "max_connections": "200",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
}
PR_SET_PDEATHSIG = 1


class Kit(NamedTuple):
    """What it takes to run servers: programs, the user who runs them, and their environment."""

    programs: Path
    account: Account
    environment: Mapping[str, str]

    @classmethod
    def found(cls, folder: Path, environment: Mapping[str, str]) -> "Kit":
        """Those of the wheel, or those that were asked for; `folder` is where servers will live."""
        account = make_data_dir(folder)
        asked = os.environ.get(PROGRAMS)
        programs, _ = runnable(Path(asked) if asked else installed_programs(), account, folder)
        own = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return cls(programs, account, own | {"LC_ALL": "C", "TZ": "UTC"} | dict(environment))

    async def start(self, log: Path, program: str, *arguments: object) -> asyncio.subprocess.Process:
        """Start one of the programs; it does not outlive us."""
        as_root = os.geteuid() == 0
        with log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                str(self.programs / program),
                *map(str, arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=self.environment,
                # Ctrl-C is for us to deal with.
                start_new_session=True,
                preexec_fn=_die_with_us,
                user=self.account.uid if as_root else None,
                group=self.account.gid if as_root else None,
                extra_groups=[] if as_root else None,
            )

    async def run(self, log: Path, program: str, *arguments: object) -> None:
        """Run one of the programs to its end."""
        process = await self.start(log, program, *arguments)
        try:
            code = await process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            # Nobody else would take note of its end.
            await process.wait()
            raise
        assert code == 0, f"{program} failed: see {log}"


def _die_with_us() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Cluster:
    """A data folder, and the server on it."""

    def __init__(self, kit: Kit, folder: Path, log: Path) -> None:
        self._kit = kit
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.folder = folder
        # Its own for each, so that a standby may live beside its primary.
        self.socket_dir = folder.parent / f"s{folder.name}"

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.socket_dir / f".s.PGSQL.{PORT}"

    @property
    def pid(self) -> int | None:
        """Of the postmaster that takes connections; None: there is none."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
            return int(lines[0]) if lines[7].strip() in {"ready", "standby"} else None
        return None

    async def create(self) -> None:
        """Make an empty one."""
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums"]
        await self._kit.run(self._log, "initdb", "-D", self.folder, f"--username={NAME}", *options)

    async def copy(self, primary: "Cluster") -> None:
        """Make it a standby of a server that runs."""
        where = ["-h", primary.socket_dir, "-p", PORT, "-U", NAME]
        options = ["-R", "-X", "stream", "-c", "fast", "--no-sync"]
        await self._kit.run(self._log, "pg_basebackup", "-D", self.folder, *where, *options)

    async def start(self) -> bool:
        """Start the server; whether it took connections, or else ended."""
        self._make_socket_dir()
        settings = SETTINGS | {"unix_socket_directories": str(self.socket_dir)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = await self._kit.start(self._log, "postgres", "-D", self.folder, *options)
        while self._process.returncode is None:
            if self.pid == self._process.pid:
                return True
            await asyncio.sleep(0.02)
        return False

    async def ended(self) -> int:
        """Wait until the server is gone; its exit code."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """Shut it down, if it runs, and wait for it."""
        if self._process is not None:
            self._send(signal.SIGINT, [self._process.pid])
            await self._process.wait()

    def kill(self) -> None:
        """End all of its processes at once, as the end of its machine would."""
        self._send(signal.SIGKILL, self.processes())

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let all of its processes stand still."""
        stopped: list[int] = []
        try:
            # The postmaster first: then no others come.
            while new := [pid for pid in self.processes() if pid not in stopped]:
                self._send(signal.SIGSTOP, new[:1] if not stopped else new)
                stopped += new[:1] if not stopped else new
            yield
        finally:
            self._send(signal.SIGCONT, stopped[::-1])

    def processes(self) -> list[int]:
        """The postmaster, and then its children; none, if it is gone."""
        process = self._process
        if process is None or process.returncode is not None:
            return []
        return [process.pid, *children(process.pid)]

    def _send(self, number: signal.Signals, pids: Sequence[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _make_socket_dir(self) -> None:
        self.socket_dir.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(self.socket_dir, self._kit.account.uid, self._kit.account.gid)


def children(parent: int) -> list[int]:
    """The processes that a process has started, on Linux."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = stat.read_text().partition(" ")
            # The name of the program, in parentheses, may hold anything.
            if int(rest.rpartition(")")[2].split()[1]) == parent:
                found.append(int(pid))
    return found
