"""Faults, one after the other and some at once, in an order that a seed decides."""

import asyncio
import contextlib
import random
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

import aiohttp

from tests.chaos import clocks, disk
from tests.chaos.fleet import Fleet
from tests.chaos.plan import ENDS, GREAT, SMALL, Deeds, Plan
from tests.chaos.postgres import AWAY, Postgres
from tests.chaos.proxy import Proxy
from tests.chaos.receiver import BAD_WAYS
from tests.chaos.target import Target

#: Seconds after which no client of the database waits for an answer any more, and is sure that none comes.
PATIENCE = 12.0
#: How far the database's clock is set, in seconds: a little, or by hours.
STEPS_FORWARD, STEPS_BACK = (5.0, 40.0, 18_000.0), (5.0, 15.0, 30.0)
Way = Callable[[random.Random], Awaitable[bool]]


def omitted(plan: Plan) -> dict[str, str]:
    """The kinds of faults that were asked for and that this machine does not allow, and why."""
    found = {}
    if not disk.is_possible():
        found["fill the disk"] = disk.FOREIGN
    if clocks.library() is None:
        found |= dict.fromkeys(("clock forward", "clock back"), clocks.FOREIGN)
    return {kind: why for kind, why in found.items() if kind in plan.faults}


def drawn(
    seed: int, weights: Mapping[str, int], possible: AbstractSet[str]
) -> Iterator[tuple[str, random.Random]]:
    """Names from one shuffled deck after the other, in each of them every kind once before any comes again.

    Each has a chance of its own: what a fault draws does not depend on how long others took.
    """
    drawing = random.Random(f"{seed} {', '.join(weights)}")
    kinds = [name for name in weights if name in possible]
    further = [name for name in kinds for _ in range(weights[name] - 1)]
    while kinds:
        for cards in (kinds, further):
            for name in drawing.sample(cards, len(cards)):
                yield name, random.Random(drawing.random())


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
        self._storm = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._mistakes: list[BaseException] = []

    async def rage(self) -> None:
        """Do one thing after the other, with three hands, until cancelled."""
        plan = self._plan
        hands = [
            asyncio.create_task(self._breathe()),
            asyncio.create_task(self._strike(ENDS, plan.ends)),
            asyncio.create_task(self._strike(SMALL, plan.pace, breathes=True)),
            asyncio.create_task(self._strike(GREAT, plan.rests, breathes=True, singly=True)),
        ]
        try:
            done, _ = await asyncio.wait(hands, return_when=asyncio.FIRST_EXCEPTION)
            for hand in done:
                hand.result()
        finally:
            await self._stop([*hands, *self._under_way])

    async def _breathe(self) -> None:
        """Have a storm, and then a calm that is long enough to see how the service does by itself."""
        while True:
            self._storm.set()
            await asyncio.sleep(self._plan.storm)
            self._storm.clear()
            await self._forgotten()
            await asyncio.sleep(self._plan.calm)

    async def _forgotten(self) -> None:
        """Wait until nothing can be blamed on a fault that struck all."""
        while True:
            ends = [fault.ends for fault in self._deeds.done if fault.replica is None]
            left = (max(ends, default=datetime.now(UTC)) - datetime.now(UTC)).total_seconds()
            if left <= 0 and not self._under_way:
                return
            await asyncio.sleep(max(left, 0.1))

    async def _strike(
        self,
        weights: Mapping[str, int],
        pause: tuple[float, float],
        *,
        breathes: bool = False,
        singly: bool = False,
    ) -> None:
        """One fault after the other; each begun whether or not the one before is over, but for `singly`."""
        possible = self._plan.faults - self._deeds.omitted.keys()
        for name, chance in drawn(self._plan.seed, weights, possible):
            await asyncio.sleep(chance.uniform(*pause))
            if self._mistakes:
                raise self._mistakes[0]
            if breathes:
                await self._storm.wait()
            task = asyncio.create_task(self._do(name, chance))
            self._under_way.add(task)
            task.add_done_callback(self._done)
            if singly:
                await asyncio.wait([task])

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (mistake := task.exception()) is not None:
            self._mistakes.append(mistake)

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._proxy.restore()
        self._proxy.release()
        await self._target.behave(0.0, [], 0)

    async def _do(self, name: str, chance: random.Random) -> None:
        with contextlib.suppress(aiohttp.ClientError, *AWAY):
            if await self._way(name)(chance):
                self._deeds.faults[name] += 1

    def _way(self, name: str) -> Way:
        postgres, fleet = self._postgres, self._fleet
        ways: dict[str, Way] = {
            "kill a replica": self._kill,
            "stop a replica": self._term,
            "freeze a replica": lambda c: fleet.freeze(c.uniform(1.2, 2.0) * self._plan.lease, c),
            "end connections": lambda c: postgres.terminate(c.randint(1, 8), c),
            "slow network": self._slow,
            "silent network": self._silence,
            "broken connections": self._break,
            "late answer": self._delay,
            "lock a run": lambda c: postgres.lock_row("run", c.uniform(2, 8), c),
            "lock a job": lambda c: postgres.lock_row("job", c.uniform(2, 8), c),
            "bad target": self._misbehave,
            "kill the database": lambda c: postgres.crash("kill", c),
            "quit the database": lambda c: postgres.crash("quit", c),
            "kill a backend": lambda c: postgres.crash("backend", c),
            "freeze the database": lambda c: postgres.freeze(c.choice([2, 6, 12, 20])),
            "lock the ledger": lambda c: postgres.lock_table(name, "ACCESS EXCLUSIVE", c.uniform(1, 2)),
            "share the ledger": lambda c: postgres.lock_table(name, "SHARE", c.uniform(2, 4)),
            "fill the disk": lambda c: postgres.fill(c.uniform(2, 5)),
            "fail over": lambda c: postgres.fail_over(c.choice([0, 7, 12]), c),
            "clock forward": lambda c: postgres.step(name, c.choice(STEPS_FORWARD), c.uniform(1, 4)),
            "clock back": lambda c: postgres.step(name, -c.choice(STEPS_BACK), c.uniform(2, 8)),
        }
        return ways[name]

    async def _kill(self, chance: random.Random) -> bool:
        return self._fleet.end(signal.SIGKILL, chance)

    async def _term(self, chance: random.Random) -> bool:
        return self._fleet.end(signal.SIGTERM, chance)

    async def _slow(self, chance: random.Random) -> bool:
        with self._deeds.harming("slow network"):
            try:
                self._proxy.delay = (0.0, chance.choice([0.01, 0.03, 0.1, 0.2]))
                await asyncio.sleep(chance.uniform(1, 3))
            finally:
                self._proxy.delay = (0.0, 0.0)
        return True

    async def _silence(self, chance: random.Random) -> bool:
        with self._deeds.harming("silent network"):
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
        with self._deeds.harming("broken connections"):
            self._proxy.reset(chance.choice([0.1, 0.5, 1.0]))
        return True

    async def _delay(self, chance: random.Random) -> bool:
        """One answer comes after whoever waits for it has given up."""
        with self._deeds.harming("late answer"):
            self._proxy.hold(PATIENCE)
            await asyncio.sleep(PATIENCE)
        return True

    async def _misbehave(self, chance: random.Random) -> bool:
        ways = chance.sample(BAD_WAYS, chance.randint(1, 3))
        with self._deeds.harming("bad target", calls=True):
            await self._target.behave(chance.choice([0.3, 0.6, 0.9]), ways, chance.randrange(2**32))
            await asyncio.sleep(chance.uniform(1, 3))
            await self._target.behave(0.0, [], 0)
        return True
