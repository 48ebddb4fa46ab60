"""Writing down what came of calls, many in one transaction."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog

from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS, explain
from scheduler_api.errors import DatabaseBusy, ReplicaOutdated, SchedulerError
from scheduler_api.services.runs import holding
from scheduler_api.services.runs.ends import Ended
from scheduler_api.services.runs.holding import Batch
from scheduler_api.workers.loops import Loop
from scheduler_api.workers.singly import whole_else_singly

log = structlog.get_logger(__name__)

#: The most that one transaction settles.
BATCH = 500
#: The longest sleep while nothing ends, and the longest wait after failures of the database, in seconds.
IDLE, MAX_BACKOFF = 60.0, 5.0
#: Seconds to leave a run alone whose row somebody else holds.
HELD_PAUSE = 0.25


class Settler:
    """Takes the ends of attempts, and settles them; while one transaction is in progress, the next fills up.

    `settled` is told of each batch that is done with; `hasten`, in how many seconds the next call is due of
    those that follow.
    """

    def __init__(
        self,
        database: Database,
        settled: Callable[[Sequence[Ended]], None],
        hasten: Callable[[float], None],
    ) -> None:
        self._database = database
        self._settled = settled
        self._hasten = hasten
        self._waiting: list[Ended] = []
        # Taken from what waits, and tried until they are settled: the tokens make it safe to repeat.
        self._batches: deque[Sequence[Ended]] = deque()
        self._awaited: dict[UUID, asyncio.Future[str | None]] = {}
        self.loop = Loop("settler", self._settle_next, IDLE, MAX_BACKOFF)
        self.failing: frozenset[str] = frozenset()
        """Hosts with failures on their account, as the last claim saw them."""

    def put(self, ended: Ended) -> None:
        """Have it settled."""
        self._waiting.append(ended)
        self.loop.hasten(0.0)

    def awaited(self, token: UUID) -> asyncio.Future[str | None]:
        """The status that a run will have once it is settled; None if it is no longer ours to settle."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._awaited[token] = future
        return future

    def give_up(self, token: UUID) -> None:
        """It will not be put."""
        self._resolve(token, None)

    async def _settle_next(self) -> float:
        """Settle a batch; what the database does not take now, it takes at a later step."""
        if not self._batches and self._waiting:
            self._batches.append(self._waiting[:BATCH])
            self._waiting = self._waiting[BATCH:]
        if self._batches:
            self._end(self._batches[0], await self._settle_or_part(self._batches[0]))
        return 0.0 if self._batches or self._waiting else IDLE

    def _end(self, batch: Sequence[Ended], done: Batch | None) -> None:
        """A batch was done with; None: each of it is settled by itself."""
        self._batches.popleft()
        if done is None:
            self._batches.extendleft([ended] for ended in reversed(batch))
            return
        self._put_later([ended for ended in batch if ended.token in done.held])
        over = [ended for ended in batch if ended.token not in done.held]
        self._settled(over)
        for ended in over:
            self._resolve(ended.token, done.settled.get(ended.token))

    def _put_later(self, held: Sequence[Ended]) -> None:
        """Try again soon what somebody else holds; the others do not wait for it."""
        if held:
            log.info("runs are locked by another transaction; they are settled later", runs=len(held))
        for ended in held:
            asyncio.get_running_loop().call_later(HELD_PAUSE, self.put, ended)

    def _resolve(self, token: UUID, status: str | None) -> None:
        future = self._awaited.pop(token, None)
        if future is not None and not future.done():
            future.set_result(status)

    async def _settle_or_part(self, batch: Sequence[Ended]) -> Batch | None:
        """What came of a batch; None: one run makes the service itself fail, and must hold back no other."""
        try:
            return await self._settle(batch)
        except ReplicaOutdated:
            return await self._hand_back(batch)
        except (SchedulerError, *DATABASE_ERRORS):
            raise
        except Exception:
            if len(batch) > 1:
                return None
            log.exception("a run cannot be settled", logid=batch[0].logid)
            return Batch({}, frozenset())

    async def _hand_back(self, batch: Sequence[Ended]) -> Batch:
        """Only newer code may write by now: let go of what was not begun, and leave the rest to others.

        They find out when the leases run out.
        """
        released = [ended for ended in batch if ended.outcome == "released"]
        try:
            if released:
                done = await self._database.transact_unfenced(holding.settle_ends, released, self.failing)
                # What somebody else holds just now is handed back a little later.
                return Batch({}, done.held)
        except DatabaseBusy:
            return Batch({}, frozenset(ended.token for ended in released))
        except (SchedulerError, *DATABASE_ERRORS) as error:
            log.warning(
                "runs are not handed back", error=explain(error.__cause__ or error), runs=len(released)
            )
        return Batch({}, frozenset())

    async def _settle(self, batch: Sequence[Ended]) -> Batch:
        def settle(singly: bool) -> Awaitable[Batch]:
            return self._database.transact(holding.settle_ends, batch, self.failing, singly=singly)

        done = await whole_else_singly("a batch of results", settle)
        if done.next is not None:
            self._hasten(done.next)
        if dropped := [e.logid for e in batch if e.token not in done.settled and e.token not in done.held]:
            log.warning("runs were taken over meanwhile; their results are dropped", logids=dropped)
        return done
