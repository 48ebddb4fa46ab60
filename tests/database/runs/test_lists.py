"""Lists of logs read what they show, however much there is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduler_api.database.engine import Database
from scheduler_api.database.runs import lists
from scheduler_api.database.runs.lists import LogFilter
from tests.factories import add_job, execute, scalar
from tests.plans import MODES, analyze_logs, plan_of, renew_logs

#: In the first part of history and in the second, one in a thousand skipped.
PAST = (
    "INSERT INTO joblog (day, jobid, scheduledfor, status, reason, finishedat)"
    " SELECT CAST(at AT TIME ZONE 'UTC' AS date), 1, at,"
    " CAST(CASE WHEN n % 1000 = 0 THEN 'skipped' ELSE 'finished' END AS logstatus),"
    " CASE WHEN n % 1000 = 0 THEN 'misfire' END, at"
    " FROM generate_series(1, 20000) AS n, LATERAL ("
    "SELECT CAST(:first AS timestamptz) + n * interval '1 minute' AS at) AS past"
)


@pytest.fixture
async def first(database: Database) -> datetime:
    """The first instant of history, which has a log for each minute from then on."""
    await renew_logs(database)
    day = await scalar(database, "SELECT firstday FROM history")
    first = datetime(day.year, day.month, day.day, tzinfo=UTC)
    await add_job(database, interval=60)
    await execute(database, PAST, first=first)
    await analyze_logs(database)
    return first


def parts_of(plan: Any) -> set[str]:
    inner = {name for part in plan.get("Plans", []) for name in parts_of(part)}
    name = plan.get("Relation Name")
    # A part that is pruned while the statement runs is in the plan, and is not read.
    return inner | {name} if name and name.startswith("joblog_") and plan["Actual Loops"] else inner


def indexes_of(plan: Any) -> set[str]:
    inner = {name for part in plan.get("Plans", []) for name in indexes_of(part)}
    return inner | {plan["Index Name"]} if "Index Name" in plan else inner


@pytest.mark.parametrize("mode", MODES)
async def test_what_was_skipped_is_found_among_all_that_ran(
    database: Database, first: datetime, mode: str
) -> None:
    wanted = LogFilter(status="skipped")
    plan = await plan_of(database, lists.statement(wanted.conditions), mode, limit=10)
    assert all("logid_idx" in name for name in indexes_of(plan)), plan
    assert plan["Actual Rows"] == 10
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 60


@pytest.mark.parametrize("status", ["pending", "running"])
@pytest.mark.parametrize("mode", MODES)
async def test_what_is_live_is_looked_for_among_the_live(
    database: Database, first: datetime, mode: str, status: str
) -> None:
    wanted = LogFilter(status=status)
    plan = await plan_of(database, lists.statement(wanted.conditions), mode, limit=10)
    assert parts_of(plan) == {"joblog_live"}


@pytest.mark.parametrize("mode", MODES)
async def test_what_is_newer_is_not_looked_for_in_older_parts(
    database: Database, first: datetime, mode: str
) -> None:
    wanted = LogFilter(jobid=1, since=first + timedelta(days=8))
    plan = await plan_of(database, lists.statement(wanted.conditions), mode, **wanted.given, limit=10)
    assert plan["Actual Rows"] == 10
    assert f"joblog_{first:%Y%m%d}" not in parts_of(plan)
