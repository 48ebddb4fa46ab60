"""Keeps one PostgreSQL for as long as its owner lives: a program of its own, on stdlib alone."""

import contextlib
import fcntl
import os
import pwd
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

READY = "ready"
NAMELESS = "this user"
SETTING = "SCHEDULER_DATA_DIR"
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
#: Seconds for a predecessor to let go; one that is shutting down may be writing a checkpoint.
LOCK_PATIENCE, LEAVING_PATIENCE = 3.0, 90.0
#: Seconds for the backends of a killed server to end: a busy one only ends with its statement.
LEFTOVER_PATIENCE = 60.0
#: A fast shutdown writes a checkpoint; an immediate one nothing, and the next start recovers.
SHUTDOWN_STEPS = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 15.0))
PROGRESS_INTERVAL = 5.0
LOG_LIMIT = 10 * 2**20
BUILTIN_LOCALE_SINCE = 17

Program = subprocess.Popen[bytes]


class Refusal(Exception):
    """One sentence: why there is no server, and what to do."""


class Site(NamedTuple):
    """What to run, and where."""

    data_dir: Path
    cluster: Path
    programs: Path
    major: int
    settings: list[str]


class Lifeline:
    """Knows whether the server is still wanted: its owner lives, and no signal asked to stop."""

    def __init__(self, owner: int) -> None:
        self._owner = owner
        self._cut = False
        self._signals, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def cut(self, seconds: float = 0.0) -> bool:
        """Wait for news, at most so long; true for good once the server is not wanted any more."""
        feed, _, _ = select.select([0, self._signals], [], [], 0.0 if self._cut else seconds)
        stopped = self._signals in feed and not STOP_SIGNALS.isdisjoint(os.read(self._signals, 512))
        # Nothing is ever written to stdin: readable means closed. A worker that the owner forked may
        # keep the pipe open after the owner's death, but then this process has another parent.
        self._cut = self._cut or stopped or 0 in feed or os.getppid() != self._owner
        return self._cut


def main(owner: str, uid: str, gid: str, *rest: str) -> int:
    """Serve until the owner goes; the last line of the output says why not."""
    data_dir, socket_dir, programs, major, *settings = rest
    lifeline = Lifeline(int(owner))
    os.umask(0o077)
    try:
        if os.getuid() == 0:
            become(int(uid), int(gid))
        folders = Path(data_dir), Path(data_dir, "cluster"), Path(programs)
        lock = hold_lock(data_dir, owner, lifeline)
        make_private(Path(socket_dir))
        serve(Site(*folders, int(major), settings), lifeline, lock)
    except Refusal as refusal:
        say(str(refusal))
        return 1
    except OSError as error:
        problem = f"{error.filename or data_dir} cannot be used ({error.strerror})"
        say(f"{problem}: set {SETTING} to a folder that {user_name()} can reach and write to.")
        return 1
    finally:
        # What runs at exit belongs to the user who started this, and so does what it writes.
        os.seteuid(os.getuid())
    return 0


def say(sentence: str) -> None:
    """Tell the owner, if it is still there to listen."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, os.fsencode(sentence.replace("\n", " ")) + b"\n")


def become(uid: int, gid: int) -> None:
    """Go on as the server's user: root would follow any link that lies in the user's folder."""
    os.setgroups([])
    os.setegid(gid)
    os.seteuid(uid)


def user_name() -> str:
    """Whose files these are; in a container the user may have no name."""
    try:
        return f"user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return NAMELESS


def hold_lock(data_dir: str, owner: str, lifeline: Lifeline) -> int:
    """Lock the data for as long as this process lives, in whatever way it ends."""
    lock = os.open(f"{data_dir}/cluster.lock", os.O_RDWR | os.O_CREAT, 0o600)
    since = time.monotonic()
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        holder = os.pread(lock, 20, 0).decode() or "unknown"
        patience = LEAVING_PATIENCE if holder == "unknown" else LOCK_PATIENCE
        if lifeline.cut(0.1) or time.monotonic() - since > patience:
            raise Refusal(f"Process {holder} uses {data_dir}: stop it, or set another {SETTING}.")
    os.ftruncate(lock, 0)
    os.pwrite(lock, owner.encode(), 0)
    return lock


def make_private(folder: Path) -> None:
    """The name of a temporary folder can be foreseen: somebody else may have made it first."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise Refusal(f"{folder} does not belong to {user_name()}: remove it, or set TMPDIR.")
    folder.chmod(0o700)


def launch(command: list[Any], log: int, **variables: str) -> Program:
    """Start a program of PostgreSQL; on macOS it fails in a locale that is not there, or not set."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        env=os.environ | {"LC_ALL": "C", "TZ": "UTC"} | variables,
        user=os.geteuid() if os.getuid() == 0 else None,
        group=os.getegid() if os.getuid() == 0 else None,
    )


def create_cluster(site: Site, log: int) -> None:
    """Build it under another name: what bears the name `cluster` is always whole."""
    if user_name() == NAMELESS:
        raise Refusal(f"PostgreSQL wants a name for user id {os.geteuid()}: add one (useradd).")
    options = ["--username=scheduler", "--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums"]
    if site.major >= BUILTIN_LOCALE_SINCE:
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options += ["--no-sync"] if "fsync=off" in site.settings else []
    unfinished = Path(tempfile.mkdtemp(prefix="cluster.init.", dir=site.data_dir))
    since = os.fstat(log).st_size
    command = [site.programs / "initdb", "-D", unfinished, "--no-instructions", *options]
    if launch(command, log).wait() != 0:
        with contextlib.suppress(OSError):
            unfinished.rmdir()
        raise Refusal(f"PostgreSQL could not create {site.cluster}: {last_words(log, since)}")
    unfinished.rename(site.cluster)
    # Were the rename lost after a commit was kept, the next start would begin without data.
    folder = os.open(site.data_dir, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def serve(site: Site, lifeline: Lifeline, lock: int) -> None:
    """Run the server until it is not wanted any more; refuse if it ends before."""
    log = os.open(site.data_dir / "postgres.log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    bound(log, site.data_dir)
    if not site.cluster.exists():
        create_cluster(site, log)
    stale_pid = stop_orphan(site.cluster)
    options = [word for setting in site.settings for word in ("-c", setting)]
    command = [site.programs / "postgres", "-D", site.cluster, *options]
    give_up_at = time.monotonic() + LEFTOVER_PATIENCE
    while not lifeline.cut():
        since = os.fstat(log).st_size
        # PostgreSQL does not start while the pid in its pid file lives, unless it is its grandparent's,
        # but still looks for processes in the shared memory that the file names. Were the file removed,
        # it could not look, and two servers might write to one cluster.
        server = launch(command, log, PG_GRANDPARENT_PID=stale_pid)
        was_ready = attend(server, site, lifeline, log, since, lock)
        if lifeline.cut(0.2):
            break
        words = f"{last_words(log, since)} (status {server.returncode})"
        if was_ready:
            raise Refusal(f"PostgreSQL ended by itself: {words}")
        if "is still in use" not in words or time.monotonic() > give_up_at:
            raise Refusal(f"PostgreSQL did not start: {words}")


def attend(server: Program, site: Site, lifeline: Lifeline, log: int, since: int, lock: int) -> bool:
    """See a server through its life, however long it takes to recover; was it ever ready?"""
    ready = False
    report_at = time.monotonic() + PROGRESS_INTERVAL
    try:
        while server.poll() is None and not lifeline.cut(1.0 if ready else 0.02):
            bound(log, site.data_dir)
            if not ready and pid_file(site.cluster) == (str(server.pid), "ready"):
                ready = True
                say(READY)
            elif not ready and time.monotonic() > report_at:
                report_at += PROGRESS_INTERVAL
                say(f"PostgreSQL is still starting: {last_words(log, since)}")
    finally:
        os.ftruncate(lock, 0)
        shut_down(server.pid, lambda: server.poll() is not None)
    return ready


def pid_file(cluster: Path) -> tuple[str, str]:
    """The pid and the state: the first and the eighth line of postmaster.pid."""
    lines: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        lines = (cluster / "postmaster.pid").read_text(errors="replace").splitlines()
    lines += [""] * 8
    return lines[0].strip(), lines[7].strip()


def stop_orphan(cluster: Path) -> str:
    """Stop what a killed supervisor has left running; answer with the pid of the pid file."""
    pid, _ = pid_file(cluster)
    if pid.isdecimal() and not shut_down(int(pid), lambda: not runs_on(int(pid), cluster)):
        raise Refusal(f"PostgreSQL (process {pid}) still runs on {cluster}: stop it by hand.")
    return pid


def runs_on(pid: int, cluster: Path) -> bool:
    """Whether that is a PostgreSQL of this cluster, and not somebody who was given its pid."""
    return seen_in_proc(pid, cluster) if sys.platform == "linux" else seen_by_ps(pid, cluster)


def seen_in_proc(pid: int, cluster: Path) -> bool:
    """On Linux; `cwd` also knows a server that was started by hand."""
    process = Path("/proc", str(pid))
    try:
        program, *options = (process / "cmdline").read_bytes().split(b"\0")
        here = os.fsencode(cluster) in options or (process / "cwd").samefile(cluster)
    except OSError:
        return False
    return here and Path(os.fsdecode(program)).name == "postgres"


def seen_by_ps(pid: int, cluster: Path) -> bool:
    """On macOS; in the C locale `ps` would not print a path beyond ASCII as it is."""
    command = ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)]
    seen = subprocess.run(command, capture_output=True, env={"LC_ALL": "en_US.UTF-8"}, check=False)
    return os.fsencode(f"/postgres -D {cluster} -") in seen.stdout


def shut_down(pid: int, ended: Callable[[], bool]) -> bool:
    """Never by SIGKILL, which would leave backends behind that still write."""
    for number, patience in SHUTDOWN_STEPS:
        if not ended():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience
        while not ended() and time.monotonic() < deadline:
            time.sleep(0.02)
    return ended()


def bound(log: int, data_dir: Path) -> None:
    """Keep one former log; the server appends to the open file, and need not know."""
    if os.fstat(log).st_size > LOG_LIMIT:
        with contextlib.suppress(OSError):
            shutil.copyfile(data_dir / "postgres.log", data_dir / "postgres.log.1")
        os.ftruncate(log, 0)


def last_words(log: int, since: int) -> str:
    """What the log has complained of since then, or else its last lines, as one line."""
    size = os.fstat(log).st_size
    since = since if since <= size else 0
    text = os.pread(log, 8192, max(since, size - 8192)).decode(errors="replace")
    lines = [re.sub(r"^.*?\[\d+\] ", "", " ".join(line.split())) for line in text.splitlines()]
    grave = [line for line in lines[-8:] if re.match(r"FATAL|PANIC|HINT|initdb: (error|hint)", line)]
    return "; ".join((grave or lines)[-3:])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
