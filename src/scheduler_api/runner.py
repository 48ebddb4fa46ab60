"""The one engine: passes over what is due, as many as there is work for."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import uuid4

from scheduler_api.contracts import BulkAction, BulkOrder, BulkReport, RetryOrder, RetryReport
from scheduler_api.database.claims import NextDue
from scheduler_api.database.engine import Database, undisturbed
from scheduler_api.delivery.deliverer import Deliverer
from scheduler_api.services import bulk, health, operations, reconcile, redrive, runs
from scheduler_api.services.runs import PassReport

#: Passes side by side: while the database works for one, the other plans. More gain nothing.
LANES = 2
#: A call of POST /jobs/run answers after this many seconds, so that no proxy loses patience first.
CALL_SECONDS = 20.0
#: The most lost promises that are given back in one transaction.
HEAL_BATCH = 500
#: The most pauses that end in one transaction; the next look ends further ones.
RESUME_BATCH = 500


@dataclass(slots=True)
class RunReport:
    """What several passes did together."""

    total: PassReport = field(default_factory=PassReport)
    retried: int = 0
    running: int = 0
    """Calls that are still under way."""
    healed: int = 0
    more: bool = False
    """Whether time ran out before everything due was run."""


class Runner:
    """Runs passes on one pool of connections."""

    def __init__(self, database: Database, batch_size: int, deliverer: Deliverer | None = None) -> None:
        self._database = database
        self._batch_size = batch_size
        self._deliverer = deliverer

    async def run_call(self) -> RunReport:
        """Heal what lost its promise, then run everything that is due at the moment of the call."""
        healed = await self.heal()
        # What falls due while the call runs is left to the next one: so it ends.
        found = await self._database.read(health.next_due)
        await self.resume(found)
        report, counts = await asyncio.gather(
            self.run_due(found.now, CALL_SECONDS), self._call_due(found.now, CALL_SECONDS)
        )
        report.total += PassReport(
            finished=counts["finished"], failed=counts["failed"], skipped=counts["skipped"]
        )
        report.retried, report.running = counts["pending"], counts["running"] + counts["lost"]
        report.healed = healed
        return report

    async def _call_due(self, due: datetime, seconds: float) -> Counter[str]:
        return Counter() if self._deliverer is None else await self._deliverer.run_due(due, seconds)

    async def run_due(self, due: datetime, seconds: float) -> RunReport:
        """Run everything that is due at `due`, batch after batch, for about `seconds` at most."""
        report = RunReport()
        give_up = monotonic() + seconds
        first = await self._run_pass(due)
        report.total += first
        if first.claimed == self._batch_size:
            await asyncio.gather(*(self._lane(due, give_up, report) for _ in range(LANES)))
        elif first.claimed > first.stuck:
            await self._lane(due, give_up, report)
        return report

    async def resume(self, found: NextDue) -> None:
        """Let jobs go on whose pause has ended."""
        if found.resume is not None and found.resume <= found.now:
            await undisturbed(self._database.transact(operations.resume_due, RESUME_BATCH))

    async def run_bulk(self, order: BulkOrder, filters: dict[str, Any], client: str) -> BulkReport:
        """Do what is ordered with all jobs that pass the filters, for as long as a call may take."""
        count = await self._database.read(bulk.count, filters)
        report = BulkReport(
            action=order.action,
            dryrun=order.dryrun,
            count=count,
            done=0,
            jobids=[],
            pauseid=uuid4() if order.action is BulkAction.PAUSE and not order.dryrun else None,
            unchanged=0,
            notdone=[],
            after=None,
        )
        give_up = monotonic() + CALL_SECONDS
        after = 0
        asked = bulk.Asked(order, filters, client, report.pauseid)
        while not order.dryrun:
            batch = self._database.transact(bulk.run_batch, asked, after)
            part = await undisturbed(batch)
            if part.last is None:
                break
            report.jobids += part.done
            report.done = len(report.jobids)
            report.unchanged += part.unchanged
            report.notdone += part.failures
            after = part.last
            if monotonic() >= give_up:
                report.after = after
                break
        return report

    async def retry_failed(self, order: RetryOrder, filters: dict[str, Any]) -> RetryReport:
        """Try all failed calls that pass the filters again, for as long as a call may take."""
        count = await self._database.read(redrive.count_failed, filters)
        report = RetryReport(count=count, dryrun=order.dryrun, done=0, more=False)
        give_up = monotonic() + CALL_SECONDS
        after: int | None = 0
        while not order.dryrun and after is not None:
            if monotonic() >= give_up:
                report.more = True
                break
            after, done = await undisturbed(self._database.transact(redrive.retry_batch, filters, after))
            report.done += done
        return report

    async def heal(self) -> int:
        """Give jobs that lost their promise a new one; how many."""
        return await undisturbed(self._database.transact(reconcile.heal, HEAL_BATCH))

    async def realign(self) -> None:
        """Re-time promises that rest on rules of time zones that have changed."""
        after: int | None = 0
        while after is not None:
            after = await self._database.transact(reconcile.realign, after, HEAL_BATCH)

    async def _lane(self, due: datetime, give_up: float, report: RunReport) -> None:
        """One pass after the other, until nothing is left that others do not hold."""
        while monotonic() < give_up:
            done = await self._run_pass(due)
            report.total += done
            if done.claimed == done.stuck:
                return
        report.more = True

    async def _run_pass(self, due: datetime) -> PassReport:
        return await undisturbed(self._database.transact(runs.run_pass, self._batch_size, due))
