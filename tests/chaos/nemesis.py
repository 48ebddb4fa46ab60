"""Faults, one after the other and some at once, in an order that a seed decides."""

import asyncio
import contextlib
import random
import signal
from collections.abc import Awaitable, Callable

import aiohttp

from tests.chaos.fleet import Fleet
from tests.chaos.plan import LEASE, Deeds, Plan
from tests.chaos.postgres import AWAY, Postgres
from tests.chaos.proxy import Proxy
from tests.chaos.receiver import BAD_WAYS
from tests.chaos.target import Target

#: How often each fault comes up in one shuffled deck of them.
DECK = {
    "kill a replica": 28,
    "stop a replica": 3,
    "freeze a replica": 3,
    "kill the database": 1,
    "quit the database": 1,
    "kill a backend": 1,
    "end connections": 4,
    "lock the ledger": 2,
    "slow network": 2,
    "silent network": 2,
    "broken connections": 3,
    "bad target": 4,
}


class Nemesis:
    """Does harm until it is told to stop, and then undoes what lasts."""

    def __init__(
        self, plan: Plan, deeds: Deeds, fleet: Fleet, postgres: Postgres, proxy: Proxy, target: Target
    ) -> None:
        self._plan = plan
        self._deeds = deeds
        self._fleet = fleet
        self._postgres = postgres
        self._proxy = proxy
        self._target = target
        self._random = random.Random(f"{plan.seed} nemesis")
        self._under_way: set[asyncio.Task[None]] = set()
        self._mistakes: list[BaseException] = []

    async def rage(self) -> None:
        """Do one thing after the other, until cancelled."""
        deck: list[str] = []
        try:
            while True:
                await asyncio.sleep(self._random.uniform(*self._plan.pace))
                if self._mistakes:
                    raise self._mistakes[0]
                if not deck:
                    deck = [name for name, count in DECK.items() for _ in range(count)]
                    self._random.shuffle(deck)
                name = deck.pop()
                # What a fault draws does not depend on how long others took.
                chance = random.Random(self._random.random())
                task = asyncio.create_task(self._do(name, chance))
                self._under_way.add(task)
                task.add_done_callback(self._done)
        finally:
            await self._stop()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (mistake := task.exception()) is not None:
            self._mistakes.append(mistake)

    async def _stop(self) -> None:
        for task in list(self._under_way):
            task.cancel()
        if self._under_way:
            await asyncio.wait(list(self._under_way))
        self._proxy.restore()
        await self._target.behave(0.0, [], 0)

    async def _do(self, name: str, chance: random.Random) -> None:
        self._deeds.tell(name)
        with contextlib.suppress(aiohttp.ClientError, *AWAY):
            if await self._fault(name)(chance):
                self._deeds.faults[name] += 1
                self._deeds.tell(f"{name}: over")

    def _fault(self, name: str) -> Callable[[random.Random], Awaitable[bool]]:
        faults: dict[str, Callable[[random.Random], Awaitable[bool]]] = {
            "kill a replica": self._kill,
            "stop a replica": self._term,
            "freeze a replica": lambda c: self._fleet.freeze(c.uniform(1.2, 2.0) * LEASE, c),
            "kill the database": lambda c: self._postgres.crash("kill", c),
            "quit the database": lambda c: self._postgres.crash("quit", c),
            "kill a backend": lambda c: self._postgres.crash("backend", c),
            "end connections": lambda c: self._postgres.terminate(c.randint(1, 8), c),
            "lock the ledger": lambda c: self._postgres.lock(c.uniform(1, 2)),
            "slow network": self._slow,
            "silent network": self._silence,
            "broken connections": self._break,
            "bad target": self._misbehave,
        }
        return faults[name]

    async def _kill(self, chance: random.Random) -> bool:
        return self._fleet.end(signal.SIGKILL, chance)

    async def _term(self, chance: random.Random) -> bool:
        return self._fleet.end(signal.SIGTERM, chance)

    async def _slow(self, chance: random.Random) -> bool:
        try:
            self._proxy.delay = (0.0, chance.choice([0.01, 0.03, 0.1, 0.2]))
            await asyncio.sleep(chance.uniform(1, 3))
        finally:
            self._proxy.delay = (0.0, 0.0)
        return True

    async def _silence(self, chance: random.Random) -> bool:
        try:
            share = chance.choice([0.3, 0.6, 1.0])
            self._proxy.silence(share)
            await asyncio.sleep(chance.choice([0.3, 1, 2] if share == 1.0 else [1, 3, 6]))
        finally:
            # What was under way is answered late, or never.
            if chance.random() < 0.5:
                self._proxy.reset(chance.random())
            self._proxy.restore()
        return True

    async def _break(self, chance: random.Random) -> bool:
        self._proxy.reset(chance.choice([0.1, 0.5, 1.0]))
        return True

    async def _misbehave(self, chance: random.Random) -> bool:
        ways = chance.sample(BAD_WAYS, chance.randint(1, 3))
        await self._target.behave(chance.choice([0.3, 0.6, 0.9]), ways, chance.randrange(2**32))
        await asyncio.sleep(chance.uniform(1, 3))
        await self._target.behave(0.0, [], 0)
        return True
