"""What the search for late runs reads."""

import pytest

from scheduler_api.database.engine import Database
from scheduler_api.database.runs import watching
from tests.factories import add_due_jobs, execute, scalar
from tests.plans import MODES, plan_of, rows_of

DUE = 2000


@pytest.mark.parametrize("mode", MODES)
async def test_each_run_is_looked_at_by_itself_however_the_tables_were_counted(
    fresh: Database, mode: str
) -> None:
    """Such as while they were empty, and not small: then to read all jobs seems to cost as much as one."""
    await add_due_jobs(fresh, DUE)
    for statement in ("DELETE FROM joblog", "DELETE FROM job", "ANALYZE job, joblog, jobissue"):
        await execute(fresh, statement)
    await add_due_jobs(fresh, DUE)
    now = await scalar(fresh, "SELECT clock_timestamp()")
    plan = await plan_of(fresh, watching.LATE, mode, now=now, seconds=60.0, limit=100)
    assert DUE <= rows_of(plan) < 10 * DUE
