"""Passwords: two at a time, and a queue that ends."""

import asyncio
import threading

import pytest
from argon2 import PasswordHasher

from scheduler_api.errors import ServiceBusy
from scheduler_api.workers.passwords import AT_ONCE, MAX_WAITING, Passwords


class Slow(PasswordHasher):
    """Counts how many are at work, and lets them go on together."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.go_on = threading.Event()
        self.at_work = self.most = 0
        self._lock = threading.Lock()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        with self._lock:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        self.go_on.wait(10)
        with self._lock:
            self.at_work -= 1
        return super().hash(password, salt=salt)


async def test_two_are_looked_at_at_once_and_a_long_queue_is_refused() -> None:
    hasher = Slow()
    passwords = Passwords(hasher)
    waiting = [asyncio.create_task(passwords.hash("a password")) for _ in range(MAX_WAITING)]
    async with asyncio.timeout(10):
        while hasher.at_work < AT_ONCE:
            await asyncio.sleep(0.01)
    with pytest.raises(ServiceBusy):
        await passwords.hash("one too many")
    hasher.go_on.set()
    assert len(set(await asyncio.gather(*waiting))) == MAX_WAITING
    assert hasher.most == AT_ONCE == 2
    assert await passwords.is_right(await passwords.hash("again"), "again")


async def test_nobody_has_a_password() -> None:
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    assert not await passwords.is_right(None, "nobody")
    assert not await passwords.is_right("no hash", "nobody")
    assert not await passwords.is_right(await passwords.hash("right"), "wrong")
