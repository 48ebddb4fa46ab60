"""The one engine: passes over what is due, as many as there is work for."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import structlog

from scheduler_api import metrics
from scheduler_api.actors import Actor
from scheduler_api.contracts.jobs.bulk import BulkAction, BulkOrder, BulkReport
from scheduler_api.contracts.runs.retries import RetryOrder, RetryReport
from scheduler_api.database.engine import Database, undisturbed
from scheduler_api.database.failures import DATABASE_ERRORS, explain
from scheduler_api.database.runs.lists import LogFilter
from scheduler_api.database.runs.passes import BEGINNING
from scheduler_api.errors import DatabaseBusy, InvalidInput, SchedulerError, ServiceBusy
from scheduler_api.services.jobs import bulk
from scheduler_api.services.runs import passes, retrying
from scheduler_api.services.runs.passes import Known, PassReport
from scheduler_api.services.system import health
from scheduler_api.workers.delivery.deliverer import Called, Deliverer
from scheduler_api.workers.singly import whole_else_singly
from scheduler_api.workers.upkeep import Upkeep

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Passes side by side: while the database works for one or two, another plans. More gain next to nothing.
LANES = 3
#: A call of POST /jobs/run answers after this many seconds, so that no proxy loses patience first.
CALL_SECONDS = 20.0
#: Seconds of a call in which pauses end, and in which broken jobs are looked for; the next one goes on.
UPKEEP_SECONDS = 1.0


@dataclass(slots=True)
class RunnerReport:
    """What a call did, or a look of the ticker."""

    total: PassReport = field(default_factory=PassReport)
    """The passes together, and calls that are over."""
    retried: int = 0
    running: int = 0
    """Calls that are still in progress."""
    repaired: int = 0
    more: bool = False
    """Whether time ran out before everything due was run."""
    waiting: bool = False
    """Whether something that is due cannot run now."""


class _Due(NamedTuple):
    """What is to be run, and how long it may take."""

    at: datetime
    floor: datetime
    """Nothing is looked for that was due before."""
    give_up: float


class Runner:
    """Runs passes on one pool of connections, `lanes` at once in all: the others are for those who ask."""

    def __init__(
        self, database: Database, batch_size: int, deliverer: Deliverer | None = None, lanes: int = LANES
    ) -> None:
        self._database = database
        self._upkeep = Upkeep(database)
        self._batch_size = batch_size
        self._deliverer = deliverer
        self._places = asyncio.Semaphore(lanes)

    async def run_call(self) -> RunnerReport:
        """Run everything that is due at the moment of the call; and end pauses, and repair what is found."""
        give_up = monotonic() + CALL_SECONDS
        async with self._place():
            await self._try(self._upkeep.resume(UPKEEP_SECONDS))
            repaired = await self._try(self._upkeep.repair(UPKEEP_SECONDS))
            # What falls due while the call runs is left to the next one: so it ends.
            found = await self._database.read(health.next_due)
        left = max(0.0, give_up - monotonic())
        async with _side_by_side() as group:
            passing = group.create_task(self.run_due(found.now, left))
            calling = group.create_task(self._call_due(found.now, left))
        report, called = passing.result(), calling.result()
        report.total += PassReport(
            finished=called.counts["finished"],
            failed=called.counts["failed"],
            skipped=called.counts["skipped"],
        )
        report.retried = called.counts["pending"]
        report.running = called.counts["running"] + called.counts["lost"]
        report.repaired = 0 if repaired is None else repaired.count
        report.more |= called.more
        report.waiting = called.waiting
        if not report.more:
            rest = await self._database.read(health.next_due)
            report.waiting |= rest.due is not None and rest.due <= found.now
        return report

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the lanes of all calls. Raises ServiceBusy where none comes free in time."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise ServiceBusy("Too many others run what is due; try again in a moment.") from None
        try:
            yield
        finally:
            self._places.release()

    async def _try(self, upkeep: Coroutine[Any, Any, T]) -> T | None:
        """What is due is run, whether this succeeds or not."""
        try:
            return await upkeep
        except (SchedulerError, *DATABASE_ERRORS) as error:
            log.warning("jobs are not looked after now", error=explain(error.__cause__ or error))
            return None

    async def _call_due(self, due: datetime, seconds: float) -> Called:
        if self._deliverer is None:
            return Called(Counter(), more=False)
        return await self._deliverer.run_due(due, seconds)

    async def run_due(self, at: datetime, seconds: float, floor: datetime = BEGINNING) -> RunnerReport:
        """Run everything that is due from `floor` to `at`, batch after batch, for about `seconds`."""
        report, due = RunnerReport(), _Due(at, floor, monotonic() + seconds)
        await self._share(due, report)
        if report.total.held and not report.more:
            # Lanes leave alone what others hold, and so what is another lane's: a job may have many due runs.
            report.total.forget_held()
            await self._lane(due, report)
        return report

    async def _share(self, due: _Due, report: RunnerReport) -> None:
        """Let lanes share what is due, if it is more than one takes at once: as soon as that is known."""
        is_much: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def say(much: bool) -> None:
            if not is_much.done():
                is_much.set_result(much)

        async def first() -> None:
            try:
                await self._lane(due, report, partial(say, True))
            finally:
                say(False)

        async def other() -> None:
            if await is_much:
                await self._lane(due, report)

        async with _side_by_side() as group:
            group.create_task(first())
            for _ in range(LANES - 1):
                group.create_task(other())

    async def run_bulk(
        self, order: BulkOrder, actor: Actor, projects: Sequence[str] | None = None, *, dryrun: bool = False
    ) -> BulkReport:
        """Do what is ordered with all jobs of the projects that are meant, for as long as a call may take.

        Raises InvalidInput for a pause whose end has passed.
        """
        if field_errors := await self._database.read(bulk.errors_in, order):
            raise InvalidInput(*field_errors)
        count = await self._database.read(bulk.count, bulk.filter_of(order, projects))
        report = BulkReport(
            action=order.action,
            dryrun=dryrun,
            count=count,
            done=0,
            jobids=[],
            pauseid=uuid4() if order.action is BulkAction.PAUSE and not dryrun else None,
            unchanged=0,
            failed=[],
            lastjobid=None,
        )
        if dryrun:
            return report
        give_up = monotonic() + CALL_SECONDS
        asked = bulk.Asked(order, actor, report.pauseid, projects)
        async with contextlib.aclosing(self._batches(asked)) as batches:
            async for batch in batches:
                part = await undisturbed(self._database.transact(bulk.run_batch, asked, batch))
                _add(report, part)
                # Sent again, an order finds what is done, but for runs: of these no batch is left half done.
                while part.left and (monotonic() < give_up or order.action is BulkAction.RUN):
                    waits = sum(failure.code == DatabaseBusy.code for failure in report.failed)
                    work = self._database.transact(bulk.run_singly, asked, part.left, waits)
                    part = await undisturbed(work)
                    _add(report, part)
                if monotonic() >= give_up:
                    report.lastjobid = part.left[0] - 1 if part.left else batch[-1]
                    break
        report.jobids.sort()
        return report

    async def _batches(self, asked: bulk.Asked) -> AsyncGenerator[list[int]]:
        """The jobs that are meant, in the order of their ids, as many at once as one transaction takes.

        What comes to be meant only now may be left out.
        """
        found = await self._database.read(bulk.matching, asked, 0)
        while found:
            for first in range(0, len(found), bulk.BATCH):
                yield found[first : first + bulk.BATCH]
            is_all = len(found) < bulk.LOOK
            found = [] if is_all else await self._database.read(bulk.matching, asked, found[-1])

    async def retry_failed(
        self, order: RetryOrder, actor: Actor, projects: Sequence[str] | None = None, *, dryrun: bool = False
    ) -> RetryReport:
        """Try all failed calls of the projects that are meant again, for as long as a call may take."""
        wanted = LogFilter(**order.filter.model_dump(), projects=projects)
        count = await self._database.read(retrying.count_failed, wanted)
        report = RetryReport(count=count, dryrun=dryrun, done=0, more=False)
        give_up = monotonic() + CALL_SECONDS
        after: int | None = 0
        while not dryrun and after is not None:
            if monotonic() >= give_up:
                report.more = True
                break
            batch = self._database.transact(retrying.retry_batch, actor, wanted, after)
            after, done, held = await undisturbed(batch)
            report.done += done
            report.more |= held
        return report

    async def _lane(self, due: _Due, report: RunnerReport, full: Callable[[], None] = lambda: None) -> None:
        """One pass after the other, until nothing is left that others do not hold.

        The first is for its share of a batch, so that one that is due at one instant is done by all lanes.
        """
        limit = -(-self._batch_size // LANES)
        while True:
            async with self._places:
                # One pass there is in any case.
                if report.total.claimed and monotonic() >= due.give_up:
                    report.more = True
                    return
                done = await self._run_pass(due, report.total, limit, full)
            if not done.claimed:
                return
            limit = self._batch_size

    async def _run_pass(
        self, due: _Due, total: PassReport, limit: int, full: Callable[[], None]
    ) -> PassReport:
        """A pass, added to the others; what they could not settle is left alone."""
        known = Known({*total.held}, {*total.refused}, due.floor)

        def run_pass(singly: bool) -> Awaitable[PassReport]:
            return self._database.transact(passes.run_pass, limit, due.at, known, singly=singly, full=full)

        with metrics.PASS.time():
            done = await undisturbed(whole_else_singly("a pass", run_pass))
        total += done
        return done


@contextlib.asynccontextmanager
async def _side_by_side() -> AsyncIterator[asyncio.TaskGroup]:
    """Tasks of which none outlives the others: where one fails, or the caller is cancelled, all end first."""
    failure = None
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        # What the database said of one must not hide a bug of another.
        _, bugs = failures.split((SchedulerError, *DATABASE_ERRORS))
        failure = (bugs or failures).exceptions[0]
    if failure is not None:
        raise failure


def _add(report: BulkReport, part: bulk.BatchReport) -> None:
    report.jobids += part.done
    report.done = len(report.jobids)
    report.unchanged += part.unchanged
    report.failed += part.failures
