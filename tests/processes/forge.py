"""Makes processes of the service quickly: it has loaded the service once, and forks whenever one is wanted.

    python -m tests.processes.forge

Its input is a socket of `Smith`. An order is a line of JSON: the `module` whose `main` is called with the
`arguments`, what the `environment` has beside ours, and how many `files` it may open. Three descriptors come
with it: a socket of who wants the process, its output, and its errors. On that socket its process id is
told, and at its end its exit code. When the socket is closed, the process is killed; when the input ends,
all are.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys
from resource import RLIMIT_NOFILE, setrlimit
from typing import Any

from scheduler_api import cli
from tests.processes import killed

CRASHED = 70
#: What may be ordered; to load it is what takes so long.
MODULES = {module.__name__: module for module in (cli, killed)}
MAX_ORDER = 65536


class Forge:
    """The processes that were made, and who wanted them."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._selector = selectors.DefaultSelector()
        self._owners: dict[int, socket.socket] = {}
        self._feed, self._wakeup = os.pipe()

    def work(self) -> None:
        """Make what is ordered until nobody is there any more."""
        os.set_blocking(self._wakeup, False)
        signal.set_wakeup_fd(self._wakeup)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._orders, selectors.EVENT_READ)
        self._selector.register(self._feed, selectors.EVENT_READ)
        gc.freeze()
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._orders:
                    if not self._make():
                        self._kill_all()
                        return
                elif key.fileobj == self._feed:
                    os.read(self._feed, 4096)
                    self._reap()
                else:
                    # Owners say nothing: this one has gone.
                    self._selector.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)

    def _make(self) -> bool:
        """Make one; False if nobody is there any more."""
        # No two orders come at once: their descriptors keep them apart (unix(7)).
        line, descriptors, *_ = socket.recv_fds(self._orders, MAX_ORDER, 3)
        while line and not line.endswith(b"\n"):
            line += self._orders.recv(MAX_ORDER)
        if not line:
            return False
        owner = socket.socket(fileno=descriptors[0])
        outputs = descriptors[1:]
        pid = os.fork()
        if pid == 0:
            owner.close()
            self._leave()
            os._exit(_be(json.loads(line), *outputs))
        for output in outputs:
            os.close(output)
        self._owners[pid] = owner
        self._selector.register(owner, selectors.EVENT_READ, pid)
        _tell(owner, pid)
        return True

    def _leave(self) -> None:
        """Be no forge any more: what is open here would count, and would stay open for others."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        # Its descriptor is that of the input, which will be another.
        self._orders.detach()
        for owner in self._owners.values():
            owner.close()
        for descriptor in (self._feed, self._wakeup):
            os.close(descriptor)

    def _reap(self, options: int = os.WNOHANG) -> None:
        for pid in list(self._owners):
            ended, status = os.waitpid(pid, options)
            if ended:
                owner = self._owners.pop(pid)
                if owner in self._selector.get_map():
                    self._selector.unregister(owner)
                _tell(owner, os.waitstatus_to_exitcode(status))
                owner.close()

    def _kill_all(self) -> None:
        for pid in self._owners:
            os.kill(pid, signal.SIGKILL)
        self._reap(options=0)


def _tell(owner: socket.socket, number: int) -> None:
    try:
        owner.sendall(b"%d\n" % number)
    except ConnectionError:
        return  # Nobody is there who would want to know.


def _be(order: dict[str, Any], output: int, errors: int) -> int:
    """Be the process that was ordered; the exit code."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, descriptor in enumerate((nothing, output, errors)):
        os.dup2(descriptor, target)
    for descriptor in {nothing, output, errors}:
        os.close(descriptor)
    os.environ.update(order["environment"])
    if order["files"] is not None:
        setrlimit(RLIMIT_NOFILE, (order["files"], order["files"]))
    code: object = CRASHED
    try:
        MODULES[order["module"]].main(order["arguments"])
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return code if isinstance(code, int) else CRASHED


if __name__ == "__main__":
    Forge(socket.socket(fileno=0)).work()
