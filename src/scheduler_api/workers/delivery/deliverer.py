"""Making the calls that are due: claimed under a lease, made without any connection held, settled."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

import structlog

from scheduler_api.contracts.runs.attempts import TestAnswer
from scheduler_api.database.engine import Database, undisturbed
from scheduler_api.database.runs.claims import Started, Terms
from scheduler_api.database.runs.passes import BEGINNING
from scheduler_api.errors import OutOfDescriptors
from scheduler_api.services.runs import claims
from scheduler_api.services.runs.claims import Claim
from scheduler_api.services.runs.ends import Ended
from scheduler_api.services.runs.shares import Passed, Reach, Room
from scheduler_api.workers.delivery import ends
from scheduler_api.workers.delivery.caller import Caller
from scheduler_api.workers.delivery.client import Client
from scheduler_api.workers.delivery.leases import HeldRun, Leases
from scheduler_api.workers.delivery.places import Places
from scheduler_api.workers.delivery.settler import Settler
from scheduler_api.workers.delivery.thrift import PAUSE
from scheduler_api.workers.floor import FLOOR_MARGIN, Floor
from scheduler_api.workers.loops import Loop, spread
from scheduler_api.workers.singly import whole_else_singly

log = structlog.get_logger(__name__)

#: Claims cost, too: where many calls end, the next one waits for so many of the places, or so many seconds.
CLAIM_FROM, CLAIM_AFTER = 0.25, 0.05
#: The most runs that are claimed ahead, where calls end faster than they can be claimed.
MAX_AHEAD = 256
#: Seconds between two looks at due calls that limits hold back: other replicas may have made room.
BOUNDED_PAUSE = 1.0
#: The longest wait after failures, in seconds.
MAX_BACKOFF = 10.0
#: Seconds that the database has at the end to take the last results.
LAST_WORDS = 5.0
NOT_MADE = "The service was stopped before the call was made."


class Capacity(NamedTuple):
    """How much one replica does."""

    calls: int
    """How many calls may be in progress at once."""
    interval: float
    """The longest it sleeps between two looks, in seconds."""


@dataclass(slots=True)
class Called:
    """What became of the calls that were due."""

    counts: Counter[str]
    """How many have which status by now; `lost`: another replica has them; `running`: they are not over."""
    more: bool = True
    """Whether time ran out before all of them were begun that can be."""
    waiting: bool = False
    """Whether some cannot begin now."""


class Deliverer:
    """Makes due calls until it is stopped. Any number of replicas may do so on one database."""

    def __init__(
        self,
        database: Database,
        client: Client,
        caller: Caller,
        terms: Terms,
        capacity: Capacity,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._client = client
        self._caller = caller
        self._terms = terms
        self._capacity = capacity
        # Called whenever runs have begun or ended.
        self._changed = changed
        self._settler = Settler(database, self._let_go, self._expect)
        self._leases = Leases(database, terms.lease, lost=self._give_up, found=self.wake)
        # Who has it may claim: so that no two take the same room.
        self._turn = asyncio.Lock()
        self._places = Places(capacity.calls)
        # How many calls have ended, ever.
        self._ended = 0
        # How many calls end in the time that a claim takes. So many runs have to wait when it begins, or
        # places would be empty; with three times as many to be claimed, claims are few. None, where calls
        # take long.
        self._ahead = 0
        # When that was measured, and how many calls had ended by then.
        self._measured = (monotonic(), 0)
        # What the last claim left behind: due calls without a place here, or without one by some limit;
        # behind which host it stopped to look; and what the next look passes over.
        self._is_full = self._is_bounded = False
        self._walked = ""
        self._passed = Passed()
        self._crowded: float | None = None
        self._floor = Floor()
        self._ceased = 0.0
        self._loop = Loop("deliverer", self._tick, capacity.interval, MAX_BACKOFF)
        self._begun: list[Loop] = []

    async def start(self, *, claiming: bool) -> None:
        """Begin, in the background; without `claiming`, only what is asked for is done."""
        await self.open()
        self.begin(claiming=claiming)

    async def open(self) -> None:
        """Be ready for tests of targets; nothing else is done before `begin`."""
        await self._client.open()

    def begin(self, *, claiming: bool) -> None:
        """Begin, once open."""
        for loop in self._loops:
            if claiming or loop is not self._loop:
                loop.start()
                self._begun.append(loop)

    def cease(self) -> None:
        """Claim nothing new from now on; the time that calls still have begins."""
        self._loop.cease()
        self._ceased = self._ceased or monotonic()
        self._hand_back_queue()

    async def stop(self, grace: float) -> None:
        """Claim nothing new, let calls end for `grace` seconds, give up the rest, and end."""
        self.cease()
        await self._loop.stop()
        if tasks := self._tasks:
            left = max(0.0, self._ceased + grace - monotonic())
            _, late = await asyncio.wait(tasks, timeout=left)
            if late:
                log.info("giving up calls that are in progress", calls=len(late))
            for task in late:
                task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self._leases.settled()
        await asyncio.gather(self._settler.loop.cancel(), self._leases.loop.cancel())
        await self._client.close()

    def wake(self) -> None:
        """Look at once: something may be due, since however long."""
        self._floor.forget()
        self._loop.wake()

    @property
    def issues(self) -> dict[str, str | None]:
        """What is wrong with each part of the work, in a sentence; None: nothing."""
        parts = ("claims", "settling", "leases")
        return {part: loop.issue for part, loop in zip(parts, self._loops, strict=True)}

    @property
    def standstill(self) -> list[str]:
        """What makes no progress at the moment, as sentences."""
        if not self._begun:
            return ["Nothing is run before it is confirmed that the database was restored."]
        return [why for loop in self._begun if (why := loop.standstill) is not None]

    @property
    def _loops(self) -> tuple[Loop, Loop, Loop]:
        return self._loop, self._settler.loop, self._leases.loop

    @property
    def silence(self) -> float:
        """Seconds since it last looked at what is due, and could claim it; 0 where it does not claim."""
        return self._loop.silence

    @property
    def crowded(self) -> float:
        """For how many seconds due calls have waited for a place here, at every look; 0: none has.

        Where no place at all is left, whether any call is due is not looked at.
        """
        return 0.0 if self._crowded is None else monotonic() - self._crowded

    async def run_due(self, due: datetime, seconds: float) -> Called:
        """Make all calls that are due at `due`, for about `seconds` at most; what became of them."""
        give_up = monotonic() + seconds
        mine: list[asyncio.Future[str | None]] = []
        called = Called(Counter())
        while not self._loop.is_stopping:
            before = [each for each in mine if not each.done()]
            async with self._turn:
                room = self._places.room(0)
                claim, futures = await self._claim(room, due) if room.limit else (Claim(crowded=True), [])
            called.counts["skipped"] += claim.skipped
            mine += futures
            goes_on = claim.more or (bool(futures) and len(futures) >= room.limit)
            called.more = goes_on or claim.crowded or claim.contended or not claim.whole
            called.waiting = claim.bounded and not called.more
            if (left := give_up - monotonic()) <= 0:
                break
            # What ended while it looked made room within a limit, which the claim may not have seen.
            if goes_on or (called.waiting and any(each.done() for each in before)):
                continue
            progress = self._progress(claim, mine)
            if progress is None:
                break
            if progress:
                await asyncio.wait(progress, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(CLAIM_AFTER)
        if mine:
            await asyncio.wait(mine, timeout=max(0.0, give_up - monotonic()))
        called.counts.update(map(_outcome, mine))
        return called

    def _progress(
        self, claim: Claim, mine: Sequence[asyncio.Future[Any]]
    ) -> Sequence[asyncio.Future[Any]] | None:
        """What makes room for calls that a claim left, and only time does if it is empty.

        None: it left none, or none that room is made for here.
        """
        if not claim.whole or claim.contended:
            return []
        if claim.crowded:
            return self._tasks
        return [each for each in mine if not each.done()] or None if claim.bounded else None

    async def test(self, jobid: int) -> TestAnswer:
        """Make a job's call once, of which nothing is kept.

        Raises JobNotFound, JobHasNoTarget, SecretsUnavailable, OutOfDescriptors.
        """
        return await self._caller.test(await self._database.transact(claims.sample, jobid))

    def _expect(self, seconds: float) -> None:
        """What was written is due in so many seconds, or since."""
        if -seconds > FLOOR_MARGIN.total_seconds() / 2:
            self._floor.forget()
        self._loop.hasten(seconds)

    async def _tick(self) -> float:
        """Claim what is due and there is room for; how many seconds to sleep then."""
        self._is_full = not self._has_room
        if not self._room.limit:
            self._crowded = self._crowded or monotonic()
            return self._capacity.interval
        if self._is_full and (pause := self._measured[0] + CLAIM_AFTER - monotonic()) > 0:
            return pause
        async with self._turn:
            room, began = self._room, monotonic()
            claim, _ = await self._claim(room)
        self._measure(began)
        if claim.more or len(claim.started) == room.limit:
            return 0.0
        self._is_bounded = claim.bounded
        self._is_full |= claim.crowded
        longest = spread(self._capacity.interval)
        if claim.bounded:
            longest = min(longest, BOUNDED_PAUSE)
        if claim.contended or not claim.whole:
            longest = CLAIM_AFTER
        if claim.nextdue is not None:
            longest = min(longest, claim.nextdue)
        return max(0.0, longest)

    def _measure(self, began: float) -> None:
        """See how far ahead the next claims have to be, as one that began then has ended."""
        now, (since, ended) = monotonic(), self._measured
        self._measured = now, self._ended
        ends_a_second = (self._ended - ended) / max(now - since, 1e-6)
        self._ahead = min(int(ends_a_second * (now - began)), MAX_AHEAD)

    @property
    def _room(self) -> Room:
        """How many runs there is room for: in places, and waiting for one."""
        return self._places.room(4 * self._ahead)

    @property
    def _has_room(self) -> bool:
        """Whether a claim is worth its while."""
        return self._room.free[Reach.JOB] >= max(3 * self._ahead, self._places.thrift.limit * CLAIM_FROM)

    async def _claim(
        self, room: Room, due: datetime | None = None
    ) -> tuple[Claim, Sequence[asyncio.Future[str | None]]]:
        """Claim and begin calls; of those that are due at `due`, with what becomes of them."""

        async def claim_and_begin() -> tuple[Claim, Sequence[asyncio.Future[str | None]]]:
            began = monotonic()
            # Who asks for all that is due gets it.
            floor, version = self._floor.at if due is None else BEGINNING, self._floor.version
            where = room._replace(after=self._walked, floor=floor, passed=self._passed)
            claim = await self._claim_once(where, due)
            self._walked, self._passed = claim.after, claim.passed
            self._floor.saw(claim.oldest, version)
            self._crowded = (self._crowded or began) if claim.crowded else None
            self._settler.failing = claim.failing
            if claim.started or claim.skipped:
                self._changed()
            tokens = [started.token for started in claim.started] if due is not None else []
            futures = [self._settler.awaited(token) for token in tokens]
            for started in claim.started:
                self._leases.hold(HeldRun(started.logid, started.token, began))
                self._places.put(started, claim.reaches[started.logid])
            if self._loop.is_stopping:
                self._hand_back_queue()
            self._fill_places()
            return claim, futures

        return await undisturbed(claim_and_begin())

    async def _claim_once(self, room: Room, due: datetime | None) -> Claim:
        def claim(singly: bool) -> Awaitable[Claim]:
            return self._database.transact(claims.claim, room, self._terms, due, singly=singly)

        return await whole_else_singly("a claim of calls", claim)

    def _hand_back_queue(self) -> None:
        for started in self._places.empty():
            self._settler.put(ends.released(started, NOT_MADE))

    def _fill_places(self) -> None:
        """Begin calls that wait, as many as there are places."""
        while (started := self._places.take()) is not None:
            held = self._leases.get(started.token)
            if held is not None:
                self._places.calling += 1
                held.task = asyncio.create_task(self._run(started, held))
                # A task that is cancelled before its first step never runs, but ends.
                held.task.add_done_callback(partial(self._end, started, held))

    async def _run(self, started: Started, held: HeldRun) -> None:
        """Make one call, and have its end settled."""
        if self._leases.has_run_out(held):
            # The process was stopped, or the database away: another may be making the call.
            self._settler.put(ends.released(started, "The lease ran out before the call was made."))
            return
        held.begun = True
        try:
            ended = await self._caller.attempt(started)
        except OutOfDescriptors as error:
            ended = ends.released(started, str(error))
            self._make_fewer()
        self._settler.put(ended)

    def _make_fewer(self) -> None:
        """Leave what waits to others, and begin nothing for a moment."""
        if self._places.thrift.ran_out(self._places.calling):
            self._hand_back_queue()
            asyncio.get_running_loop().call_later(PAUSE, self._go_on)

    def _go_on(self) -> None:
        # What was being claimed as the pause began has waited since.
        self._fill_places()
        self.wake()

    def _end(self, started: Started, held: HeldRun, task: asyncio.Task[None]) -> None:
        """Make room for the next call; have this one settled, where it did not come to its own end."""
        held.ended = True
        self._places.calling -= 1
        self._ended += 1
        if task.cancelled():
            if self._leases.get(held.token) is not None:
                self._settler.put(ends.stopped(started) if held.begun else ends.released(started, NOT_MADE))
        elif error := task.exception():
            log.error("a call broke off", logid=held.logid, exc_info=error)
            self._settler.put(ends.broken(started, error))
        self._fill_places()
        if self._is_full:
            self._loop.hasten(0.0 if self._has_room else CLAIM_AFTER)

    def _give_up(self, held: HeldRun) -> None:
        """A run is ours no more: what its target answers would be dropped anyway."""
        if held.task is not None:
            held.task.cancel()
        self._leases.let_go(held.token)
        self._settler.give_up(held.token)

    @property
    def _tasks(self) -> list[asyncio.Task[None]]:
        return [held.task for held in self._leases.held if held.task is not None and not held.ended]

    def _let_go(self, settled: Sequence[Ended]) -> None:
        for ended in settled:
            self._leases.let_go(ended.token)
        self._changed()
        if self._is_bounded:
            self._loop.hasten(0.0)


def _outcome(future: asyncio.Future[str | None]) -> str:
    return future.result() or "lost" if future.done() else "running"
