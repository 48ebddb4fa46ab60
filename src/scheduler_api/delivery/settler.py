"""Writing down what came of calls, many in one transaction."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS, explain
from scheduler_api.errors import SchedulerError
from scheduler_api.services import calls
from scheduler_api.services.outcomes import Ended

log = structlog.get_logger(__name__)

#: The most that one transaction settles.
BATCH = 500
#: Seconds to wait after a failure of the database, doubled with each further one.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Settler:
    """Takes the ends of attempts, and settles them; while one transaction is under way, the next fills up.

    `settled` is told of each batch that is done with; `hasten`, in how many seconds the next call is due of
    those that were promised.
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
        self._filled = asyncio.Event()
        self._awaited: dict[UUID, asyncio.Future[str | None]] = {}
        self.failing: frozenset[str] = frozenset()
        """Hosts with failures on their account, as the last claim saw them."""

    def put(self, ended: Ended) -> None:
        """Have it settled."""
        self._waiting.append(ended)
        self._filled.set()

    def awaited(self, token: UUID) -> asyncio.Future[str | None]:
        """The status that a run will have once it is settled; None if it is no longer ours to settle."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._awaited[token] = future
        return future

    def give_up(self, token: UUID) -> None:
        """It will not be put."""
        self._resolve(token, None)

    async def run(self) -> None:
        """Settle until cancelled. What the database does not take now, it takes later."""
        while True:
            await self._filled.wait()
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not self._waiting:
                self._filled.clear()
            statuses = await self._settle_surely(batch)
            self._settled(batch)
            if self._awaited:
                for ended in batch:
                    self._resolve(ended.token, statuses.get(ended.token))

    def _resolve(self, token: UUID, status: str | None) -> None:
        future = self._awaited.pop(token, None)
        if future is not None and not future.done():
            future.set_result(status)

    async def _settle_surely(self, batch: Sequence[Ended]) -> dict[UUID, str]:
        """Settle a batch, however long the database is away: the tokens make it safe to repeat."""
        pause = FIRST_PAUSE
        refused = False
        while True:
            try:
                return await self._settle(batch)
            except (SchedulerError, *DATABASE_ERRORS) as error:
                if not isinstance(error, SchedulerError) and len(batch) > 1:
                    return await self._settle_singly(batch)
                cause = error.__cause__ or error
                log.warning("runs are not settled yet", error=explain(cause), runs=len(batch))
                if not isinstance(error, SchedulerError):
                    # The row itself is refused: its lease runs out, and the attempt counts as lost. But what
                    # it clashed with may have been a job that is gone now.
                    if refused:
                        return {}
                    refused = True
                    continue
            except Exception:  # nothing may end the loop
                if len(batch) > 1:
                    return await self._settle_singly(batch)
                log.exception("a run can not be settled", logid=batch[0].logid)
                return {}
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _settle_singly(self, batch: Sequence[Ended]) -> dict[UUID, str]:
        """So that one run that can not be settled does not hold back the others."""
        statuses: dict[UUID, str] = {}
        for ended in batch:
            statuses |= await self._settle_surely([ended])
        return statuses

    async def _settle(self, batch: Sequence[Ended]) -> dict[UUID, str]:
        settled = await self._database.transact(calls.settle, batch, self.failing)
        if promised := [one.next for one in settled.values() if one.next is not None]:
            self._hasten(min(promised))
        if dropped := [ended.logid for ended in batch if ended.token not in settled]:
            log.warning("runs were taken over meanwhile; their ends are dropped", logids=dropped)
        return {token: one.status for token, one in settled.items()}
