"""What is due is shared by lanes: at once where it is much, and not at all where it is little."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.services.runs import passes
from scheduler_api.services.runs.settling import Judged, settle
from scheduler_api.workers.runner import Runner
from tests.factories import add_due_jobs, scalar
from tests.processes.service import PATIENCE

BATCH = 4


@pytest.mark.parametrize(("jobs", "lanes"), [(BATCH // 2, 1), (BATCH, 2)])
async def test_a_batch_that_is_due_at_once_is_shared_by_two_lanes(
    database: Database, monkeypatch: pytest.MonkeyPatch, jobs: int, lanes: int
) -> None:
    """None of them ends before all have begun."""
    await add_due_jobs(database, jobs)
    met, shares = asyncio.Barrier(lanes), list[int]()

    async def settle_together(session: Session, now: datetime, judged: Sequence[Judged]) -> None:
        shares.append(len(judged))
        async with asyncio.timeout(PATIENCE):
            await met.wait()
        await settle(session, now, judged)

    monkeypatch.setattr(passes, "settle", settle_together)
    now = await scalar(database, "SELECT clock_timestamp()")
    report = await Runner(database, BATCH).run_due(now, PATIENCE)
    assert shares == [BATCH // 2] * lanes
    assert (report.total.finished, report.more) == (jobs, False)


async def test_what_one_lane_takes_at_once_is_no_work_for_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_due_jobs(database, 1)
    run_pass, claimed = passes.run_pass, list[int]()

    async def counted(*args: Any, **kwargs: Any) -> passes.PassReport:
        report = await run_pass(*args, **kwargs)
        claimed.append(report.claimed)
        return report

    monkeypatch.setattr(passes, "run_pass", counted)
    now = await scalar(database, "SELECT clock_timestamp()")
    await Runner(database, BATCH).run_due(now, PATIENCE)
    assert claimed == [1, 0]
