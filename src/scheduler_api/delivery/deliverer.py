"""Making the calls that are due: claimed under a lease, made without any connection held, settled."""

import asyncio
import contextlib
import json
import random
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import NamedTuple
from uuid import UUID

import structlog

from scheduler_api.ciphers import Cipher
from scheduler_api.contracts import Target, TestAnswer
from scheduler_api.database.engine import Database, undisturbed
from scheduler_api.database.failures import explain
from scheduler_api.delivery.client import Call, Client
from scheduler_api.delivery.requests import request_of
from scheduler_api.delivery.settler import Settler
from scheduler_api.errors import SecretsUnavailable
from scheduler_api.services import calls
from scheduler_api.services.calls import Claim, Started, Terms
from scheduler_api.services.outcomes import Ended
from scheduler_api.targets import Answer, Failure, Judgement, Rules, backoff, judge

log = structlog.get_logger(__name__)

#: Leases are renewed, and those of others looked at, so many times before they run out.
LOOKS_A_LEASE = 3
#: Of the free places so many are waited for before the next claim: claims cost, too.
CLAIM_FROM = 0.25
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


@dataclass(slots=True)
class _Held:
    """A run that this replica holds."""

    token: UUID
    task: asyncio.Task[str | None]


class Deliverer:
    """Makes due calls until it is stopped. Any number of replicas may do so on one database."""

    def __init__(
        self,
        database: Database,
        client: Client,
        cipher: Cipher,
        terms: Terms,
        capacity: Capacity,
        runsurl: str,
    ) -> None:
        self._database = database
        self._client = client
        self._cipher = cipher
        self._terms = terms
        self._capacity = capacity
        self._runsurl = runsurl
        self._settler = Settler(database)
        self._held: dict[int, _Held] = {}
        self._calling = 0
        self._bounded = False
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
            asyncio.create_task(self._look_after_leases(), name="leases"),
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
        if tasks := [held.task for held in self._held.values()]:
            left = max(0.0, self._ceased + grace - monotonic())
            _, late = await asyncio.wait(tasks, timeout=left)
            for task in late:
                task.cancel()
            if late:
                log.info("handing back calls that are under way", calls=len(late))
                await asyncio.wait(late, timeout=LAST_WORDS)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._client.close()

    def wake(self) -> None:
        """Look at once: something may be due."""
        self._wake.set()

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
        while (left := give_up - monotonic()) > 0:
            if not (free := self._capacity.calls - self._calling):
                await asyncio.wait(mine or [held.task for held in self._held.values()], timeout=left)
                continue
            claim = await self._claim(free, due)
            counts["skipped"] += claim.skipped
            mine += [self._held[started.entry.logid].task for started in claim.started]
            if len(claim.started) < free and not claim.more:
                break
        if mine:
            await asyncio.wait(mine, timeout=max(0.0, give_up - monotonic()))
        counts.update(task.result() or "lost" if task.done() else "running" for task in mine)
        return counts

    async def test(self, jobid: int) -> TestAnswer:
        """Make a job's call once, of which nothing is kept.

        Raises JobNotFound, JobHasNoTarget, SecretsUnavailable.
        """
        started = await self._database.transact(calls.sample, jobid)
        assert started.target is not None
        call = self._request(started.target, started, None)
        answer = await self._client.call(call)
        judgement = _judge(started.target, answer)
        return TestAnswer(
            url=call.url,
            ok=judgement.failure is None,
            failure=judgement.failure,
            error=judgement.error,
            httpstatus=answer.status,
            timing=answer.timing,
            excerpt=answer.excerpt,
        )

    async def _claim_forever(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                pause = await self._tick()
                self._failures = 0
            except Exception as error:  # nothing may end the loop but stop()
                self._failures += 1
                longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures - 1, 10))
                pause = longest * random.uniform(0.5, 1.0)  # noqa: S311
                log.warning("claiming calls failed", error=explain(error.__cause__ or error))
            if pause > 0 and not self._stopping:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause)

    async def _tick(self) -> float:
        """Claim what is due and there is room for; how many seconds to sleep then."""
        free = self._capacity.calls - self._calling
        if free < self._capacity.calls * CLAIM_FROM:
            return self._capacity.interval
        claim = await self._claim(free)
        if claim.more or len(claim.started) == free:
            return 0.0
        self._bounded = claim.bounded
        longest = self._capacity.interval * random.uniform(0.8, 1.0)  # noqa: S311
        if claim.bounded:
            longest = min(longest, BOUNDED_PAUSE)
        return longest if claim.nextdue is None else max(0.0, min(claim.nextdue, longest))

    async def _claim(self, most: int, due: datetime | None = None) -> Claim:
        # Room is taken before the database is asked, so that two who claim never take the same.
        self._calling += most
        try:
            claim = await undisturbed(self._claim_and_begin(most, due))
        finally:
            self._calling -= most
        return claim

    async def _claim_and_begin(self, most: int, due: datetime | None) -> Claim:
        claim = await self._database.transact(calls.claim, most, self._terms, due)
        self._settler.failing = claim.failing
        for started in claim.started:
            self._calling += 1
            task = asyncio.create_task(self._run(started))
            self._held[started.entry.logid] = _Held(started.token, task)
        return claim

    async def _run(self, started: Started) -> str | None:
        """Make one call, and have its end settled; the log's status then."""
        logid = started.entry.logid
        try:
            try:
                ended = await self._attempt(started)
            except asyncio.CancelledError:
                if not self._stopping:
                    return None
                error = "The service was stopped while the call was under way."
                ended = Ended(logid, started.token, "released", Failure.LOST, error)
            finally:
                self._calling -= 1
                if self._capacity.calls - self._calling >= self._capacity.calls * CLAIM_FROM:
                    self._wake.set()
            status = await self._settler.put(ended)
            if status is None:
                log.warning("a run was taken over meanwhile; its end is dropped", logid=logid)
            return status
        finally:
            del self._held[logid]
            if self._bounded:
                self._wake.set()

    async def _attempt(self, started: Started) -> Ended:
        logid, token, target = started.entry.logid, started.token, started.target
        if target is None:
            return _unmade(started, "The job has no target any more.")
        try:
            call = self._request(target, started, f"{self._runsurl}/{logid}/{token.hex}")
        except SecretsUnavailable as error:
            return _unmade(started, str(error))
        answer = await self._client.call(call)
        judgement = _judge(target, answer)
        if judgement.failure is not None:
            log.info(
                "a call failed",
                jobid=started.entry.jobid,
                logid=logid,
                attempt=started.entry.attempt,
                failure=judgement.failure.value,
                error=judgement.error,
            )
        outcome = "accepted" if judgement.accepted else "failed" if judgement.failure else "finished"
        after = backoff.retry_after(answer.retryafter, started.now) if judgement.again else None
        return Ended(
            logid, token, outcome, judgement.failure, judgement.error, judgement.again, after, *_kept(answer)
        )

    def _request(self, target: Target, started: Started, runurl: str | None) -> Call:
        secrets = [self._cipher.decrypt(secret) for secret in started.secrets]
        return request_of(target, started, secrets, runurl)

    async def _look_after_leases(self) -> None:
        """Renew the leases of runs that are held here, and take over those of replicas that are gone."""
        pause = self._terms.lease.total_seconds() / LOOKS_A_LEASE
        while True:
            await asyncio.sleep(pause * random.uniform(0.8, 1.0))  # noqa: S311
            try:
                await self._renew()
                if reaped := await self._database.transact(calls.reap):
                    log.warning("runs were left behind, and are taken over", runs=len(reaped))
                    self._wake.set()
            except Exception as error:  # nothing may end the loop
                log.warning("looking after leases failed", error=explain(error.__cause__ or error))

    async def _renew(self) -> None:
        tokens = {logid: held.token for logid, held in self._held.items()}
        if not tokens:
            return
        still = await self._database.transact(calls.renew, tokens, self._terms.lease)
        for logid in tokens.keys() - still:
            # Settled by another, or cancelled: the answer would be dropped anyway.
            held = self._held.get(logid)
            if held is not None and held.token == tokens[logid]:
                held.task.cancel()


def _judge(target: Target, answer: Answer) -> Judgement:
    return judge(answer, Rules(target.success, target.pattern, target.retryon))


def _unmade(started: Started, error: str) -> Ended:
    return Ended(started.entry.logid, started.token, "failed", Failure.TEMPLATE, error)


def _kept(answer: Answer) -> tuple[int | None, str, str | None]:
    return answer.status, json.dumps(answer.timing), answer.excerpt
