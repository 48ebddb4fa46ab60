"""Making the calls that are due: claimed under a lease, made without any connection held, settled."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from time import monotonic
from typing import NamedTuple

import structlog

from scheduler_api.contracts import TestAnswer
from scheduler_api.database.engine import Database, undisturbed
from scheduler_api.database.failures import explain
from scheduler_api.delivery.caller import Caller
from scheduler_api.delivery.client import Client
from scheduler_api.delivery.leases import Held, Leases
from scheduler_api.delivery.settler import Settler
from scheduler_api.services import calls
from scheduler_api.services.calls import Claim, Started, Terms
from scheduler_api.services.outcomes import Ended
from scheduler_api.targets import Failure

log = structlog.get_logger(__name__)

#: Of the places so many are waited for before the next claim: claims cost, too.
CLAIM_FROM = 0.25
#: The most runs that are claimed ahead, where calls end faster than they can be claimed.
MOST_AHEAD = 256
#: Seconds between two looks at due calls that limits hold back: other replicas may have made room.
BOUNDED_PAUSE = 1.0
#: Seconds to wait after a failure, doubled with each further one.
FIRST_BACKOFF, LONGEST_BACKOFF = 0.25, 10.0
#: Failures in a row from which on the deliverer counts as broken.
BROKEN_AFTER = 3
#: Seconds that the database has at the end to take the last verdicts.
LAST_WORDS = 5.0


class Capacity(NamedTuple):
    """How much one replica does."""

    calls: int
    """How many calls may be under way at once."""
    interval: float
    """The longest it sleeps between two looks, in seconds."""


class Deliverer:
    """Makes due calls until it is stopped. Any number of replicas may do so on one database."""

    def __init__(
        self, database: Database, client: Client, caller: Caller, terms: Terms, capacity: Capacity
    ) -> None:
        self._database = database
        self._client = client
        self._caller = caller
        self._terms = terms
        self._capacity = capacity
        self._settler = Settler(database, self._hasten)
        self._leases = Leases(database, terms.lease, self.wake)
        # Who has it may claim: so that no two take the same room.
        self._turn = asyncio.Lock()
        self._places = asyncio.Semaphore(capacity.calls)
        # Runs that wait for a place or are being called; and calls that have ended, ever.
        self._begun = self._ended = 0
        # How many calls end while a claim is under way: so many runs have to be there when it begins, and
        # when it ends, so that no place is ever empty. None, where calls take long.
        self._ahead = 0
        # What the last claim left behind: due calls without a place here, or without one by some limit.
        self._is_full = self._is_bounded = False
        self._look_at = monotonic()
        self._wake = asyncio.Event()
        self._stopping = False
        self._ceased = 0.0
        self._loops: list[asyncio.Task[None]] = []
        self._claiming: asyncio.Task[None] | None = None
        self._failures = 0

    async def start(self, *, claiming: bool) -> None:
        """Begin, in the background; without `claiming`, only what is asked for is done."""
        await self._client.open()
        self._loops = [
            asyncio.create_task(self._settler.run(), name="settler"),
            asyncio.create_task(self._leases.look_after(), name="leases"),
        ]
        if claiming:
            self._claiming = asyncio.create_task(self._claim_forever(), name="deliverer")

    def cease(self) -> None:
        """Claim nothing new from now on; the time that calls still have begins."""
        self._stopping = True
        self._ceased = self._ceased or monotonic()
        self._wake.set()

    async def stop(self, grace: float) -> None:
        """Claim nothing new, let calls end for `grace` seconds, hand back the rest, and end."""
        self.cease()
        if self._claiming is not None:
            await asyncio.wait([self._claiming])
        held = self._leases.held
        if held:
            left = max(0.0, self._ceased + grace - monotonic())
            await asyncio.wait([one.task for one in held], timeout=left)
            late = [one for one in held if one.calling and not one.task.done()]
            if late:
                log.info("handing back calls that are under way", calls=len(late))
            for one in late:
                one.task.cancel()
            await asyncio.wait([one.task for one in held], timeout=LAST_WORDS)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._client.close()

    def wake(self) -> None:
        """Look at once: something may be due."""
        self._hasten(0.0)

    @property
    def trouble(self) -> str | None:
        """What is wrong, in a sentence; None: nothing."""
        if self._failures >= BROKEN_AFTER:
            return f"The last {self._failures} claims of calls failed."
        return None

    async def run_due(self, due: datetime, seconds: float) -> Counter[str]:
        """Make all calls that are due at `due`, for about `seconds` at most; what became of them."""
        give_up = monotonic() + seconds
        mine: list[asyncio.Task[str | None]] = []
        counts: Counter[str] = Counter()
        while (left := give_up - monotonic()) > 0 and not self._stopping:
            async with self._turn:
                free = self._capacity.calls - self._begun
                claim, tasks = await self._claim(free, due) if free > 0 else (Claim(more=True), [])
            counts["skipped"] += claim.skipped
            mine += tasks
            if free <= 0:
                busy = [held.task for held in self._leases.held]
                await asyncio.wait(busy, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            elif len(tasks) < free and not claim.more:
                break
        if mine:
            await asyncio.wait(mine, timeout=max(0.0, give_up - monotonic()))
        counts.update(map(_outcome, mine))
        return counts

    async def test(self, jobid: int) -> TestAnswer:
        """Make a job's call once, of which nothing is kept.

        Raises JobNotFound, JobHasNoTarget, SecretsUnavailable.
        """
        return await self._caller.test(await self._database.transact(calls.sample, jobid))

    async def _claim_forever(self) -> None:
        while not self._stopping:
            self._wake.clear()
            # What is promised from here on and due before then, is looked at before then.
            self._look_at = monotonic() + self._capacity.interval
            try:
                pause = await self._tick()
                self._failures = 0
            except Exception as error:  # nothing may end the loop but stop()
                self._failures += 1
                longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures - 1, 10))
                pause = longest * random.uniform(0.5, 1.0)  # noqa: S311
                log.warning("claiming calls failed", error=explain(error.__cause__ or error))
            self._look_at = min(self._look_at, monotonic() + pause)
            await self._sleep()

    async def _sleep(self) -> None:
        """Until it is time to look; that may come nearer meanwhile."""
        while (left := self._look_at - monotonic()) > 0 and not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)
            self._wake.clear()

    def _hasten(self, seconds: float) -> None:
        """Look in so many seconds, if not before."""
        if (at := monotonic() + seconds) < self._look_at:
            self._look_at = at
            self._wake.set()

    async def _tick(self) -> float:
        """Claim what is due and there is room for; how many seconds to sleep then."""
        self._is_full = not self._has_room
        if self._is_full:
            return self._capacity.interval
        async with self._turn:
            free, ended = self._free, self._ended
            claim, tasks = await self._claim(free)
        self._ahead = min(self._ended - ended, MOST_AHEAD)
        if claim.more or len(tasks) == free:
            return 0.0
        self._is_bounded = claim.bounded
        longest = self._capacity.interval * random.uniform(0.8, 1.0)  # noqa: S311
        if claim.bounded:
            longest = min(longest, BOUNDED_PAUSE)
        return longest if claim.nextdue is None else max(0.0, min(claim.nextdue, longest))

    @property
    def _free(self) -> int:
        return self._capacity.calls + 2 * self._ahead - self._begun

    @property
    def _has_room(self) -> bool:
        """Whether a claim is worth its while."""
        return self._free >= max(self._ahead, self._capacity.calls * CLAIM_FROM)

    async def _claim(
        self, most: int, due: datetime | None = None
    ) -> tuple[Claim, Sequence[asyncio.Task[str | None]]]:
        async def claim_and_begin() -> tuple[Claim, Sequence[asyncio.Task[str | None]]]:
            claim = await self._database.transact(calls.claim, most, self._terms, due)
            self._settler.failing = claim.failing
            return claim, [self._begin(started) for started in claim.started]

        return await undisturbed(claim_and_begin())

    def _begin(self, started: Started) -> asyncio.Task[str | None]:
        self._begun += 1
        task = asyncio.create_task(self._run(started))
        self._leases.hold(Held(started.entry.logid, started.token, task))
        return task

    async def _run(self, started: Started) -> str | None:
        """Make one call, and have its end settled; the log's status then."""
        try:
            ended = await self._end_of(started)
            return None if ended is None else await self._settler.put(ended)
        finally:
            self._leases.let_go(started.token)
            if self._is_bounded:
                self.wake()

    async def _end_of(self, started: Started) -> Ended | None:
        """What comes of the call; None: the run was taken away meanwhile."""
        try:
            async with self._places:
                if not self._stopping:
                    return await self._caller.attempt(started)
            return _released(started, "The service was stopped before the call was made.")
        except asyncio.CancelledError:
            if not self._stopping:
                return None
            return _released(started, "The service was stopped while the call was under way.")
        finally:
            self._leases.called(started.token)
            self._begun -= 1
            self._ended += 1
            if self._is_full and self._has_room:
                self.wake()


def _released(started: Started, error: str) -> Ended:
    return Ended(started.entry.logid, started.token, "released", Failure.LOST, error)


def _outcome(task: asyncio.Task[str | None]) -> str:
    if not task.done():
        return "running"
    return "lost" if task.cancelled() else task.result() or "lost"
