"""A short run of faults; `make chaos` lets them go on for long, and knows more of them."""

import pytest

from tests.chaos.harness import run
from tests.chaos.plan import ENDS, GREAT, SMALL, Plan

#: What takes long, or depends on the machine.
LONG = {"freeze the database", "fail over", "fill the disk", "clock forward", "clock back"}


@pytest.mark.timeout(180)
async def test_nothing_is_lost_or_doubled_while_everything_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    # Replicas start again and again, and are killed: too slow to be measured, and of no use for it.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    faults = frozenset({*ENDS, *SMALL, *GREAT} - LONG)
    report = await run(Plan(seconds=20, seed=7, replicas=2, jobs=40, faults=faults))
    assert not report.violations, report
    assert report.deeds.kills
    assert report.verdict.occurrences > 200
