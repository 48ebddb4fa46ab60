"""Passwords, by argon2id: each takes some cores for a while, and 64 MiB, so that they take turns."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from scheduler_api.errors import ServiceBusy

T = TypeVar("T")

#: At once; and so many may wait for their turn.
AT_ONCE, MAX_WAITING = 2, 20
#: How much less urgent hashing is than all else (nice).
NICE = 15
#: Seconds that those wait for their answer who find too many before them: they will ask again at once.
PAUSE = 1.0
BUSY = "Too many are signing in at once; try again in a moment."


class Passwords:
    """Hashes passwords, and compares them, beside the event loop."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """By default as the library's authors advise (RFC 9106, low memory)."""
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._threads = ThreadPoolExecutor(AT_ONCE, "passwords", _yield_to_others)
        self._waiting = 0
        # To compare with where there is no such user: that takes as long.
        self._nobody = ""

    async def require_turn(self) -> None:
        """Raise ServiceBusy where too many wait for their turn: after a moment, as they will ask again."""
        if self._waiting >= MAX_WAITING:
            await asyncio.sleep(PAUSE)
            raise ServiceBusy(BUSY)

    async def hash(self, password: str) -> str:
        """What is kept of a password. Raises ServiceBusy."""
        return await self._in_turn(self._hasher.hash, password)

    async def is_right(self, passwordhash: str | None, password: str) -> bool:
        """Whether a password is the one of that hash; None is nobody's. Raises ServiceBusy."""
        # Whatever the name: that it takes longer once says nothing about it.
        if not self._nobody:
            self._nobody = await self.hash("nobody")
        try:
            await self._in_turn(self._hasher.verify, passwordhash or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return passwordhash is not None

    async def _in_turn(self, work: Callable[..., T], *args: str) -> T:
        if self._waiting >= MAX_WAITING:
            raise ServiceBusy(BUSY)
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        finally:
            self._waiting -= 1


def _yield_to_others() -> None:
    """Let a thread have what of the processors nobody else wants; elsewhere than on Linux it is a process."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
