"""Connections to targets: only to addresses that the guard lets through, and timed on the way.

The HTTP client's own tracing runs for every call; here the clock is read where a connection passes
anyway, and only when there is a new one.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from socket import getaddrinfo
from time import perf_counter
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from scheduler_api.descriptors import EXHAUSTED, are_exhausted
from scheduler_api.targets import Guard

#: How long a name may take to be looked up, in seconds: the system itself has no such bound.
LOOKUP_TIMEOUT = 5.0
#: Lookups at once; and how many more may hang, as a name whose servers are dead does for up to half a minute.
LOOKUP_THREADS, HANGING_THREADS = 32, 32
#: Lookups at once of names that hung the last time, and of how many names that is remembered.
MAX_SUSPECTS, MAX_REMEMBERED = 8, 1000

_AddressInfo = tuple[Any, ...]


class Marks:
    """When what happened in one call, and whether the guard refused its address."""

    #: The end of each phase.
    lookedup: float | None = None
    connected: float | None = None
    secured: float | None = None
    answered: float | None = None
    #: Whether there is a new connection, and encryption is being agreed on, or was.
    connecting = False
    securing = False
    #: Whether the lookup waits for others to end.
    queued = False
    refusal: str | None = None
    #: Whether there was no file descriptor left.
    exhausted = False

    def __init__(self) -> None:
        self.start = perf_counter()

    @staticmethod
    def now() -> float:
        """The clock of all marks."""
        return perf_counter()

    @property
    def is_starved(self) -> bool:
        """Whether no request was made, as there was no file descriptor left."""
        return self.exhausted and self.connected is None

    @property
    def is_securing(self) -> bool:
        """Whether encryption is being agreed on."""
        return self.securing and self.secured is None

    def timing(self) -> dict[str, float]:
        """The phases in milliseconds, as in `Answer.timing`."""
        timing = {}
        before = self.start
        for phase, moment in (
            ("dns", self.lookedup),
            ("connect", self.connected),
            ("tls", self.secured),
            ("firstbyte", self.answered),
        ):
            if moment is not None:
                timing[phase] = (moment - before) * 1000
                before = moment
        timing["total"] = (perf_counter() - self.start) * 1000
        return timing


#: Of the call that is being made. It reaches the tasks and callbacks that make its connection.
MARKS: ContextVar[Marks | None] = ContextVar("marks", default=None)


class Refused(OSError):
    """The guard does not let the address through."""


def _refuse(sentence: str) -> Refused:
    marks = MARKS.get()
    if marks is not None:
        marks.refusal = sentence
    return Refused(sentence)


def _note(error: OSError) -> None:
    """Tell the call that is being made, where it fails for want of a descriptor."""
    marks = MARKS.get()
    if marks is not None and error.errno in EXHAUSTED:
        marks.exhausted = True


class _Lookup:
    """The lookup of a name that is in progress, or waits for its turn."""

    task: asyncio.Task[list[_AddressInfo]]

    def __init__(self) -> None:
        self.begun = asyncio.Event()


class Resolver(AbstractResolver):
    """Looks names up, and refuses those with any address that is not to be called."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS + HANGING_THREADS, "resolver")
        self._places = asyncio.Semaphore(LOOKUP_THREADS)
        self._hanging = asyncio.Semaphore(HANGING_THREADS)
        self._running: dict[str, _Lookup] = {}
        # Names that were not found out about in time when they were last looked up, oldest first.
        self._suspects: dict[str, None] = {}

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - part of the interface
    ) -> list[ResolveResult]:
        """All addresses of `host`; an OSError if there are none, or one that is refused."""
        results = []
        try:
            found = await self._look_up(host)
        except OSError as error:
            _note(error)
            raise
        for kind, _, protocol, _, address in found:
            name = address[0]
            refusal = self._guard.refusal(name)
            if refusal is not None:
                raise _refuse(refusal)
            results.append(
                ResolveResult(
                    hostname=host,
                    host=name,
                    port=port,
                    family=kind,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST,
                )
            )
        if not results:
            raise OSError("it has no address")
        marks = MARKS.get()
        if marks is not None:
            marks.lookedup = perf_counter()
        return results

    async def close(self) -> None:
        """Look nothing up any more; a lookup that hangs is not waited for."""
        for lookup in self._running.values():
            lookup.task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, host: str) -> list[_AddressInfo]:
        """Look `host` up once for all who ask at the same time, and leave it running for later ones."""
        lookup = self._running.get(host)
        if lookup is None:
            # Names that hang may not take the places of those that do not.
            if host in self._suspects and len(self._suspects.keys() & self._running) >= MAX_SUSPECTS:
                raise OSError("no answer the last time, and too many such names are being looked up")
            lookup = self._running[host] = _Lookup()
            lookup.task = asyncio.create_task(self._find(host, lookup.begun))
            lookup.task.add_done_callback(lambda _: self._forget(host))
        marks = MARKS.get() or Marks()
        # Where there is room, it is only the task that has not had its first step yet.
        marks.queued = self._places.locked()
        await lookup.begun.wait()
        marks.queued = False
        done, _ = await asyncio.wait({lookup.task}, timeout=LOOKUP_TIMEOUT)
        if not done:
            raise OSError(f"no answer within {LOOKUP_TIMEOUT:g} s")
        if lookup.task.cancelled():
            raise OSError("the service is stopped")
        return lookup.task.result()

    async def _find(self, host: str, begun: asyncio.Event) -> list[_AddressInfo]:
        """Look a name up when it is its turn. Whoever has a place has a thread, too."""
        async with self._places:
            begun.set()
            loop = asyncio.get_running_loop()
            found = loop.run_in_executor(self._threads, _addresses_of, host)
            found.add_done_callback(_hear)
            if (await asyncio.wait({found}, timeout=LOOKUP_TIMEOUT))[0]:
                self._suspects.pop(host, None)
                return found.result()
            self._suspects[host] = None
            if len(self._suspects) > MAX_REMEMBERED:
                del self._suspects[next(iter(self._suspects))]
            if self._hanging.locked():
                return await found
        # Its thread is one of the others from now on, and its place is free.
        async with self._hanging:
            return await found

    def _forget(self, host: str) -> None:
        lookup = self._running.pop(host)
        lookup.begun.set()
        _hear(lookup.task)


def _hear(ended: asyncio.Future[Any]) -> None:
    """Nobody else may be left to hear of a failure."""
    if not ended.cancelled():
        ended.exception()


def _addresses_of(host: str) -> list[_AddressInfo]:
    try:
        return list(
            getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=_CONFIGURED)
        )
    except UnicodeError as error:
        raise OSError("it is no valid name") from error
    except OSError as error:
        # The system's lookup calls it by other names.
        if are_exhausted():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from error
        raise


#: Only addresses of a family that this machine has itself.
_CONFIGURED = socket.AI_ADDRCONFIG


class Socket(socket.socket):
    """A socket that notes when it is connected; both event loops ask it so."""

    __slots__ = ("_marks",)

    _marks: Marks | None

    def connect(self, address: Any) -> None:
        """Connect, or begin to."""
        super().connect(address)
        self._note()

    def getsockopt(self, *arguments: Any) -> Any:
        """Read an option; the one of an error tells how a connection attempt ended."""
        value = super().getsockopt(*arguments)
        if value == 0 and arguments[1] == socket.SO_ERROR:
            self._note()
        return value

    def _note(self) -> None:
        if self._marks is not None and self._marks.connected is None:
            self._marks.connected = perf_counter()


def socket_factory(guard: Guard) -> Callable[[_AddressInfo], socket.socket]:
    """What makes sockets for the very addresses that they are then connected to."""

    def make(info: _AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        refusal = guard.refusal(address[0])
        if refusal is not None:
            raise _refuse(refusal)
        try:
            made = Socket(family, kind, protocol)
        except OSError as error:
            _note(error)
            raise
        marks = made._marks = MARKS.get()  # noqa: SLF001 - of this module
        if marks is not None:
            marks.connecting = True
        return made

    return make


class _Handshake(ssl.SSLObject):
    """Encryption that notes when it is agreed on."""

    marks: Marks | None = None

    def do_handshake(self) -> None:
        super().do_handshake()
        if self.marks is not None:
            self.marks.secured = perf_counter()


class Encryption(ssl.SSLContext):
    """The usual demands on a server's certificate, with a clock."""

    sslobject_class = _Handshake

    def __new__(cls, authorities: str | None = None) -> "Encryption":
        """Trust these authorities, in PEM, or those of this machine. Raises ssl.SSLError, ValueError."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        if authorities is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cadata=authorities)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a handshake for the call that is being made."""
        made = super().wrap_bio(*arguments, **options)
        assert isinstance(made, _Handshake)
        made.marks = MARKS.get()
        if made.marks is not None:
            made.marks.securing = True
        return made
