"""Makes replicas quickly: a process that has loaded the service once, and forks whenever one is wanted.

    python -m tests.chaos.forge

Each line of its input, in JSON, asks for a replica: `environment`, and the file `log` for what it says. It
tells who was `started` and who `ended` with which `code`. When its input ends, so do all of its replicas.
"""

import gc
import json
import os
import select
import signal
import sys
from typing import Any

from scheduler_api import cli

CRASHED = 70


def main() -> None:
    """Serve until nobody is there any more."""
    children: set[int] = set()
    news, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    gc.freeze()
    orders = b""
    while True:
        ready, _, _ = select.select([0, news], [], [])
        if news in ready:
            os.read(news, 4096)
            _reap(children)
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                break
            *whole, orders = (orders + data).split(b"\n")
            for line in whole:
                children.add(_fork(json.loads(line)))
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(_serve(order))
    _tell(started=pid)
    return pid


def _reap(children: set[int]) -> None:
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            children.discard(pid)
            _tell(ended=pid, code=os.waitstatus_to_exitcode(status))


def _tell(**news: int) -> None:
    os.write(1, json.dumps(news).encode() + b"\n")


def _serve(order: dict[str, Any]) -> int:
    """Be a replica; the exit code."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(number, target)
    os.environ.update(order["environment"])
    code: object = CRASHED
    try:
        cli.main(["serve", "--port", "0"])
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stderr.flush()
    return code if isinstance(code, int) else CRASHED


if __name__ == "__main__":
    main()
