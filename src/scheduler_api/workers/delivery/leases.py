"""The runs that this replica holds: their leases are renewed, those of replicas that are gone taken over."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from uuid import UUID

import structlog

from scheduler_api import metrics
from scheduler_api.database.engine import Database
from scheduler_api.services.runs import holding
from scheduler_api.workers.loops import Loop, spread
from scheduler_api.workers.singly import whole_else_singly

log = structlog.get_logger(__name__)

#: Leases are renewed, and those of others looked at, so many times before they run out.
LOOKS_A_LEASE = 3
#: How many times as long as a holder takes to renew a lease one that has run out is left to him.
CONFIRM = 1.2


@dataclass(slots=True)
class HeldRun:
    """A run that this replica holds."""

    logid: int
    token: UUID
    renewed: float
    """When the lease began, or was renewed, on this process' own clock, which goes on while it is stopped."""
    task: asyncio.Task[None] | None = None
    """The call; None: it waits for a place."""
    begun: bool = False
    """Whether a request may have gone out."""
    ended: bool = False
    """Whether the call is over, so that only its end has to be written down."""


class Leases:
    """Keeps what this replica holds.

    `lost` is told of a run that was cancelled, or taken over by another; `found`, when runs of others were.
    """

    def __init__(
        self,
        database: Database,
        lease: timedelta,
        *,
        lost: Callable[[HeldRun], None],
        found: Callable[[], None],
    ) -> None:
        self._database = database
        self._lease = lease
        self._lost = lost
        self._found = found
        self._held: dict[UUID, HeldRun] = {}
        # Leases that have run out, and since when that is known here.
        self._expired: dict[UUID, float] = {}
        self._pause = lease.total_seconds() / LOOKS_A_LEASE
        self.loop = Loop("keeper of leases", self._look_after, self._pause, self._pause)
        self._empty = asyncio.Event()
        self._empty.set()

    def hold(self, held: HeldRun) -> None:
        """Renew its lease until it is let go."""
        self._held[held.token] = held
        self._empty.clear()

    def let_go(self, token: UUID) -> None:
        """It is settled, or no longer ours."""
        self._held.pop(token, None)
        if not self._held:
            self._empty.set()

    def get(self, token: UUID) -> HeldRun | None:
        """The run that is held under this token; None: it is not held any more."""
        return self._held.get(token)

    def has_run_out(self, held: HeldRun) -> bool:
        """Whether another may have taken the run over already."""
        return monotonic() >= held.renewed + self._lease.total_seconds()

    async def settled(self) -> None:
        """Wait until nothing is held any more."""
        await self._empty.wait()

    @property
    def held(self) -> list[HeldRun]:
        """All that is held."""
        return list(self._held.values())

    async def _look_after(self) -> float:
        """Renew what is held here, and take over what others have left behind."""
        await self._renew()
        await self._take_over(CONFIRM * self._pause)
        return spread(self._pause)

    async def _renew(self) -> None:
        # The lease counts from when the database hears of it, which is later.
        mine, began = self.held, monotonic()
        if not mine:
            return
        tokens = [(held.logid, held.token) for held in mine]
        still = await self._database.transact(holding.renew, tokens, self._lease)
        for held in mine:
            if held.token in still.renewed:
                held.renewed = began
            elif held.token not in still.locked and held.token in self._held and not held.ended:
                log.warning("a run was taken away; its call is given up", logid=held.logid)
                metrics.LEASES_LOST.inc()
                self._lost(held)

    async def _take_over(self, confirm: float) -> None:
        """Take over runs whose lease has run out, and that nobody has renewed for `confirm` seconds since.

        Nobody could renew one while the database was away, or while somebody else had locked its row or the
        table: from when that is over, the replica that holds it has the time to do so.
        """
        before, self._expired = self._expired, {}
        expired, now = await self._database.transact(holding.expired), monotonic()
        self._expired = {token: before.get(token, now) for token in expired}
        sure = [token for token, seen in self._expired.items() if now - seen >= confirm]

        def reap(singly: bool) -> Awaitable[int]:
            return self._database.transact(holding.reap, sure, singly=singly)

        if sure and (reaped := await whole_else_singly("a takeover", reap)):
            log.warning("runs were left behind, and are taken over", runs=reaped)
            self._found()
