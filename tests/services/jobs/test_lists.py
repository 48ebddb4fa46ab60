"""Lists of jobs: whichever way they are found, they hold the same, in order, page by page."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from scheduler_api.contracts.jobs.actions import Pause
from scheduler_api.contracts.jobs.job import Condition, JobSort, LastStatus
from scheduler_api.database.engine import Database
from scheduler_api.database.jobs import lists, turns
from scheduler_api.database.jobs.lists import JobFilter
from scheduler_api.database.jobs.rows import JobRow
from scheduler_api.database.runs import history
from scheduler_api.database.statements import Session, Statement
from scheduler_api.errors import InvalidInput
from scheduler_api.services.history import upcoming
from scheduler_api.services.jobs import actions, reading
from tests.database.runs.test_lists import indexes_of
from tests.factories import ACTOR, NOON, add_job, execute, scalar
from tests.plans import MODES, analyze_logs, plan_of, renew_logs, rows_of
from tests.services.jobs.test_together import add_all_kinds
from tests.services.runs.test_claims import TARGET

FILTERS = [
    JobFilter(),
    *(JobFilter(state=state) for state in Condition),
    *(JobFilter(laststatus=status) for status in LastStatus),
    *(JobFilter(search=text) for text in ("paused", "p", "host", "a", "%", "_", "nowhere")),
    *(JobFilter(search=text) for text in ("1", "12", "100", "999999", "* *", "*/7", "@daily", "7 *")),
    JobFilter(name="calls"),
    JobFilter(tag="a"),
    JobFilter(tag="none"),
    JobFilter(state=Condition.PAUSED, search="missed"),
    JobFilter(project="bank"),
    *(JobFilter(projects=of) for of in (("bank",), ("bank", "default"), ("none",), ())),
    JobFilter(state=Condition.ACTIVE, projects=("bank",)),
    JobFilter(project="default", projects=("bank",)),
    JobFilter(state=Condition.ACTIVE, laststatus=LastStatus.FAILED),
]
#: What the planner believes that it costs to gather a row from another process.
COST = Statement("SELECT current_setting('parallel_tuple_cost')")
MODE = Statement("SELECT current_setting('plan_cache_mode')")
#: A call that began so many minutes ago and took so many seconds.
CALLED = """
    INSERT INTO joblog (day, jobid, scheduledfor, startedat, finishedat, status, kind, host)
    SELECT (SELECT firstday FROM history), :jobid, at, at, at + :took * interval '1 second',
           'finished', 'http', 'a'
    FROM (SELECT now() - :ago * interval '1 minute' AS at) AS past
"""


@pytest.fixture
async def jobs(database: Database) -> Database:
    await add_all_kinds(database)
    for name in ("Twin", "Twin", "a 100% sure_thing"):
        await add_job(database, jobname=name, interval=60, tags=["a", "partly"])
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('bank', now())")
    for others in ({"interval": 60}, {"active": False, "due": None}):
        await add_job(database, jobname="Of the bank", project="bank", **others)
    for cron in ("*/7 * * * *", "@daily"):
        await add_job(database, jobname="By cron", cron=cron, repeat=True, startdate=None, starttime=None)
    return database


async def paged(database: Database, asked: lists.Lookup, sort: str, *, few: bool) -> list[JobRow]:
    """All of a list, two jobs a page."""

    async def look(session: Session) -> list[JobRow]:
        found: list[JobRow] = []
        after: lists.Position | None = None
        some = await lists.some(session, asked, 1000)
        while positions := (
            await lists.in_order(session, some, sort, after, 2)
            if few
            else await lists.positions(session, asked, sort, after, 2)
        ):
            found += await lists.of_ids(session, [position.jobid for position in positions])
            after = positions[-1]
        return found

    return await database.read(look)


@pytest.mark.parametrize("sort", JobSort)
async def test_few_and_many_are_found_alike(
    jobs: Database, monkeypatch: pytest.MonkeyPatch, sort: JobSort
) -> None:
    # Of the next runs so few are looked at that there are further looks.
    monkeypatch.setattr(turns, "FIRST", 1)
    # What no index orders is found in one way only.
    is_of_few = sort in lists.OF_FEW
    all_jobs = await paged(jobs, await jobs.read(lists.lookup, JobFilter()), sort, few=is_of_few)
    newest = await jobs.read(history.recent, [row.jobid for row in all_jobs], 1)
    tooks = {run.jobid: run.took for run in newest}
    for wanted in FILTERS:
        asked = await jobs.read(lists.lookup, wanted)
        few = await paged(jobs, asked, sort, few=True)
        assert few == await paged(jobs, asked, sort, few=is_of_few), wanted
        assert len(few) == len({row.jobid for row in few}) == await jobs.read(lists.count, asked), wanted
        places = [place(row, sort, tooks) for row in few]
        assert all(earlier < later for earlier, later in pairwise(places)), (wanted, places)
        if wanted.laststatus is not None:
            # What it is narrowed down to is what is shown.
            shown = [row for row in all_jobs if row.laststatus == wanted.laststatus]
            assert few == [row for row in shown if wanted.state in {None, row.state}], wanted
        if wanted.state is Condition.FAILING:
            assert few == [row for row in all_jobs if (row.state, row.laststatus) == ("active", "failed")]
        if wanted.search is not None:
            # As one reads it, without wildcards.
            shown = [row for row in all_jobs if holds(row, wanted.search)]
            assert few == [row for row in shown if wanted.state in {None, row.state}], wanted


def place(row: JobRow, sort: JobSort, tooks: Mapping[int, float | None]) -> Any:
    by = sort.removeprefix("-")
    if by == "jobname":
        return in_letters(row.jobname, sort), sign(sort) * row.jobid
    if by == "duration":
        took = tooks.get(row.jobid)
        return took is None, sign(sort) * (took or 0), sign(sort) * row.jobid
    if by == "jobid":
        return sign(sort) * row.jobid
    if by == "schedule":
        return in_letters(rhythm(row), sort), sign(sort) * row.jobid
    instant = row.nextrun if by == "nextrun" else row.lastrun
    return instant is None, sign(sort) * (instant or NOON).timestamp(), sign(sort) * row.jobid


def in_letters(text: str, sort: JobSort) -> list[int]:
    """Letter by letter, which are ASCII here, so that it can be turned round."""
    letters = [sign(sort) * ord(letter) for letter in text]
    return letters if sign(sort) > 0 else [*letters, 0]


def rhythm(row: JobRow) -> str:
    if row.cron is not None:
        return f"2 {row.cron}"
    if row.interval is not None:
        return f"1 {row.interval:012}"
    return "3" if row.startdate is None else f"0 {row.startdate} {row.starttime}"


def sign(sort: JobSort) -> int:
    return -1 if sort.startswith("-") else 1


def holds(row: JobRow, text: str) -> bool:
    host = "" if row.target is None else str(row.target["url"]).split("/")[2]
    is_cron = any(one in text for one in "*@/") and text.lower() in (row.cron or "").lower()
    words = (row.jobname, host, *row.tags)
    return text == str(row.jobid) or is_cron or any(text.lower() in own.lower() for own in words)


@pytest.mark.parametrize("has_trigrams", [True, False])
async def test_a_search_finds_any_part_of_the_words_of_a_job(fresh: Database, has_trigrams: bool) -> None:
    """Whatever its letters; by an index, where the extension for it may be created, or without one."""
    await add_job(fresh, jobname="Überträge an die BANK", tags=["nightly"])
    await add_job(fresh, jobname="Other", target=TARGET, tags=["Ökonomie"])
    await add_job(fresh, jobname="Changed")
    if not has_trigrams:
        await execute(fresh, "DROP EXTENSION pg_trgm CASCADE")
    await execute(fresh, "UPDATE job SET jobname = 'Neu', tags = '{Zwölf}' WHERE jobname = 'Changed'")
    expected = {
        "Übertr": [1], "ÜB": [1], "bank": [1], "IGHT": [1], "ok": [], "Öko": [2], "ÖK": [2], "other": [2],
        "EXAMPLE": [2], "chan": [], "neu": [3], "wö": [3], "r": [1, 2],
    }  # fmt: skip
    # Which letters are the same but for their case, the locale of the database says.
    if await scalar(fresh, "SELECT lower('Ü') = 'ü'"):
        expected |= {"übertr": [1], "öko": [2]}
    for text, jobids in expected.items():
        asked = await fresh.read(lists.lookup, JobFilter(search=text))
        assert sorted(await fresh.read(lists.some, asked, 10)) == jobids, text


@pytest.mark.parametrize("text", ["par", "par of a name"])
async def test_what_very_many_jobs_have_is_looked_for_without_the_index(
    jobs: Database, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    wanted = JobFilter(search=text, name=text)
    assert {*(await jobs.read(lists.lookup, wanted)).filters} == {"name", "search"}
    monkeypatch.setattr(lists, "COMMON", -1)
    assert {*(await jobs.read(lists.lookup, wanted)).filters} == {"name-common", "search-common"}


@pytest.mark.parametrize(
    "wanted", [JobFilter(tag="a"), JobFilter(search="a"), JobFilter(state=Condition.ACTIVE, name="Twin")]
)
async def test_many_jobs_with_something_in_common_are_put_in_order_by_themselves(
    jobs: Database, monkeypatch: pytest.MonkeyPatch, wanted: JobFilter
) -> None:
    """All of them may be at the end of the order of all jobs; and of some orders there is no other way."""
    expected = await jobs.read(reading.listing, wanted, JobSort.JOBNAME, None, 10)
    monkeypatch.setattr(reading, "MAX_COUNTED", 1)
    said = list[str]()
    for name in ("positions", "in_order"):
        monkeypatch.setattr(lists, name, noted(name, said))
    for most in (100, 1):
        monkeypatch.setattr(reading, "MAX_SORTED", most)
        found = await jobs.read(reading.listing, wanted, JobSort.JOBNAME, None, 10)
        assert (found.jobs, found.matching, found.known) == (expected.jobs, 2, ())
    assert said == ["in_order", "positions"]
    with pytest.raises(InvalidInput, match="Too many jobs match"):
        await jobs.read(reading.listing, wanted, JobSort.SCHEDULE, None, 10)
    monkeypatch.setattr(reading, "MAX_SORTED", 100)
    found = await jobs.read(reading.listing, wanted, JobSort.SCHEDULE, None, 10)
    assert len(found.jobs) == len(expected.jobs)


async def test_what_most_jobs_fit_is_taken_in_the_order_of_all(
    jobs: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_COUNTED", 0)
    said = list[str]()
    for name in ("positions", "in_order"):
        monkeypatch.setattr(lists, name, noted(name, said))
    of_projects = JobFilter(state=Condition.ACTIVE, projects=("default", "bank"))
    for most in (100, 1):
        monkeypatch.setattr(reading, "MAX_SORTED", most)
        for wanted in (JobFilter(), JobFilter(laststatus=LastStatus.FINISHED), of_projects):
            await jobs.read(reading.listing, wanted, JobSort.JOBNAME, None, 10)
    # Of projects it depends on how many jobs they have.
    assert said == ["positions", "positions", "in_order", *["positions"] * 3]


@pytest.mark.parametrize(
    ("wanted", "all_of_them"),
    [
        (JobFilter(state=Condition.COMPLETED), True),
        (JobFilter(search="zq"), True),
        (JobFilter(search="7"), True),
        (JobFilter(search="*/7"), True),
        (JobFilter(name="zq"), True),
        (JobFilter(name="a longer text"), False),
        (JobFilter(state=Condition.ACTIVE), False),
        (JobFilter(tag="a"), False),
        (JobFilter(), False),
    ],
)
async def test_what_no_index_knows_is_looked_for_in_all_jobs_side_by_side(
    jobs: Database, monkeypatch: pytest.MonkeyPatch, wanted: JobFilter, all_of_them: bool
) -> None:
    asked = await jobs.read(lists.lookup, wanted)
    costs = list[str]()
    values, value = Session.values, Session.value

    async def seen_values(session: Session, statement: Any, **given: Any) -> list[Any]:
        costs.append(await value(session, COST))
        return await values(session, statement, **given)

    async def seen_value(session: Session, statement: Any, **given: Any) -> Any:
        costs.append(await value(session, COST))
        return await value(session, statement, **given)

    monkeypatch.setattr(Session, "values", seen_values)
    monkeypatch.setattr(Session, "value", seen_value)
    for ask in (lists.some, lists.count):
        await jobs.read(ask, asked, 10)
    assert costs == (["0", "0"] if all_of_them else ["0.1", "0.1"])


@pytest.mark.parametrize("sort", [JobSort.JOBNAME, JobSort.NEXTRUN])
async def test_what_somebody_sees_of_some_projects_is_planned_for_these(
    jobs: Database, monkeypatch: pytest.MonkeyPatch, sort: JobSort
) -> None:
    modes = list[str]()
    rows = Session.all

    async def seen(session: Session, statement: Any, **given: Any) -> list[Any]:
        modes.append(await session.value(MODE))
        return await rows(session, statement, **given)

    monkeypatch.setattr(Session, "all", seen)
    for projects in (None, ["bank"]):
        asked = await jobs.read(lists.lookup, JobFilter(projects=projects))
        await jobs.read(lists.positions, asked, sort, None, 100)
    everybody, theirs = modes
    assert (everybody == theirs, theirs) == (False, "force_custom_plan")


def noted(name: str, said: list[str]) -> Any:
    original = getattr(lists, name)

    async def call(*arguments: Any) -> list[lists.Position]:
        said.append(name)
        found: list[lists.Position] = await original(*arguments)
        return found

    return call


@pytest.mark.parametrize("sort", [JobSort.NEXTRUN, JobSort.JOBNAME])
async def test_a_list_goes_on_where_its_order_was(
    jobs: Database, monkeypatch: pytest.MonkeyPatch, sort: JobSort
) -> None:
    """A job that runs, or is renamed, while it is listed leads past none of the others."""
    of_ids = lists.of_ids

    async def of_ids_later(session: Session, jobids: Sequence[int]) -> list[JobRow]:
        await execute(jobs, f"UPDATE job SET jobname = 'zz {jobids[-1]}' WHERE jobid = {jobids[-1]}")
        await execute(
            jobs,
            f"UPDATE joblog SET nextrun = '2031-01-01Z' WHERE jobid = {jobids[-1]} AND status = 'pending'",
        )
        return await of_ids(session, jobids)

    everything = await jobs.read(reading.listing, JobFilter(), sort, None, 100)
    first = await jobs.read(reading.listing, JobFilter(), sort, None, 3)
    assert first.further is not None
    monkeypatch.setattr(lists, "of_ids", of_ids_later)
    moved = await jobs.read(reading.listing, JobFilter(), sort, None, 3)
    assert moved.further == first.further
    monkeypatch.undo()
    rest = await jobs.read(reading.listing, JobFilter(), sort, moved.further, 100)
    assert {job.jobid for job in everything.jobs} == {job.jobid for job in (*first.jobs, *rest.jobs)}


@pytest.mark.parametrize("mode", MODES)
async def test_lists_among_very_many_jobs_are_found_by_indexes(database: Database, mode: str) -> None:
    await renew_logs(database)
    await execute(
        database,
        "INSERT INTO job (jobname, cron, repeat, tags, createdat, validfrom)"
        " SELECT 'Job ' || md5(CAST(n AS text)), '@daily', true, ARRAY['team ' || n], now(), now()"
        " FROM generate_series(1, 5000) AS n",
    )
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, nextrun)"
        " SELECT jobid, at, at FROM job, LATERAL (SELECT now() + jobid * interval '1 s' AS at) AS soon",
    )
    # As autovacuum does: until then all that is new is read by each search.
    await execute(database, "SELECT gin_clean_pending_list('ix_job_words')")
    await execute(database, "ANALYZE job")
    await analyze_logs(database)
    place: dict[str, Any] = {"jobid": 7, "limit": 10}
    for sort, key, index in (
        (JobSort.JOBID, None, "pk_job"),
        (JobSort.JOBNAME, "Job 8", "ix_job_jobname"),
    ):
        plan = await plan_of(database, lists.statement((), sort, True), mode, **place, key=key)
        assert index in indexes_of(plan), (sort, plan)
        assert rows_of(plan) < 2500, (sort, plan)
    for wanted in (JobFilter(search="team 4711"), JobFilter(name="c4ca4238")):
        asked = await database.read(lists.lookup, wanted)
        found = lists._some(asked.filters)
        plan = await plan_of(database, found, mode, **asked.values, most=1001)
        assert "ix_job_words" in indexes_of(plan), plan


@pytest.mark.parametrize("after", [None, turns.Turn(NOON + 7 * timedelta(seconds=1), 7)])
@pytest.mark.parametrize("until", [None, NOON + timedelta(days=1)])
async def test_of_very_many_next_runs_no_more_are_read_than_come_next(
    database: Database, after: turns.Turn | None, until: datetime | None
) -> None:
    """Not even where none of the calls, which have an index of their own, fits."""
    await renew_logs(database)
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('odd', now())")
    await execute(
        database,
        "INSERT INTO job (jobname, cron, repeat, project, createdat, validfrom)"
        " SELECT 'Job ' || n, '@daily', true, CASE n % 2 WHEN 1 THEN 'odd' ELSE 'default' END, now(), now()"
        " FROM generate_series(1, 5000) AS n",
    )
    await execute(
        database,
        "INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host)"
        " SELECT jobid, at, at, CAST(CASE jobid % 2 WHEN 1 THEN 'plain' ELSE 'http' END AS runkind),"
        " CASE jobid % 2 WHEN 0 THEN 'a' END"
        " FROM job, LATERAL (SELECT CAST(:noon AS timestamptz) + jobid * interval '1 s' AS at) AS next",
        noon=NOON,
    )
    await execute(database, "ANALYZE job")
    await analyze_logs(database)
    asked = await database.read(lists.lookup, JobFilter(projects=["odd"]))
    wanted = lists._in_turn(asked)
    key, jobid = after or (None, None)
    bounds = {"key": key, "jobid": jobid} if after else {}
    bounds |= {"until": until} if until else {}
    look = turns._look(wanted.conditions, wanted.begun, wanted.indexed, after is not None, until is not None)
    plan = await plan_of(database, look, MODES[1], **asked.values, **bounds, among=100, limit=100)
    assert {"ix_joblog_live_passes", "ix_joblog_live_calls"} <= indexes_of(plan)
    assert rows_of(plan) < 2000
    # Of jobs of others, no row is read.
    assert reads_of_jobs(plan) <= 60
    found = await database.read(turns.next_ones, wanted, after, until, 10)
    first = 9 if after else 1
    assert [one.jobid for one in found] == [*range(first, first + 20, 2)]


def reads_of_jobs(plan: Any) -> int:
    """How many jobs were looked up whole: not only by what an index has, which is a part of a condition."""
    if "SubPlan" in plan.get("Subplan Name", ""):
        return 0
    own = plan["Actual Loops"] if plan.get("Relation Name") == "job" else 0
    return int(own) + sum(map(reads_of_jobs, plan.get("Plans", [])))


async def test_a_job_that_loses_its_next_run_while_it_is_listed_is_listed_once(
    jobs: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_ones, paused = turns.next_ones, list[int]()

    async def then_pause(*arguments: Any) -> Any:
        found = await next_ones(*arguments)
        paused.append(found[1].jobid)
        await jobs.transact(actions.pause, ACTOR, paused[0], Pause())
        return found

    monkeypatch.setattr(turns, "next_ones", then_pause)
    monkeypatch.setattr(reading, "MAX_COUNTED", 0)
    found = await jobs.read(reading.listing, JobFilter(), JobSort.NEXTRUN, None, 100)
    listed = [job.jobid for job in found.jobs]
    assert paused[0] in listed
    assert len(listed) == len({*listed})


async def test_a_job_that_runs_between_two_looks_is_found_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('bank', now())")
    for number in range(1, 9):
        project = "bank" if number in {3, 7} else "default"
        await add_job(database, due=NOON + number * timedelta(hours=1), interval=60, project=project)
    monkeypatch.setattr(turns, "FIRST", 1)
    one, looks = Session.one, list[int]()

    async def run(session: Session, statement: Any, **values: Any) -> Any:
        found = await one(session, statement, **values)
        looks.append(found.looked_at)
        later = "UPDATE joblog SET nextrun = :later, scheduledfor = :later WHERE jobid = 3"
        await execute(database, later, later=NOON + 6.5 * timedelta(hours=1))
        return found

    asked = await database.read(lists.lookup, JobFilter(projects=["bank"]))
    monkeypatch.setattr(Session, "one", run)
    found = await database.read(turns.next_ones, lists._in_turn(asked), None, None, 2)
    assert [turn.jobid for turn in found] == [3, 7]
    assert len(looks) == 3


@pytest.mark.parametrize("active", [True, False])
async def test_of_a_project_of_many_jobs_the_active_ones_are_put_in_order_by_themselves_where_these_are_few(
    jobs: Database, monkeypatch: pytest.MonkeyPatch, active: bool
) -> None:
    """Most may be over, and then all that comes next would be looked at for the others."""
    if not active:
        await execute(jobs, "UPDATE job SET active = false")
    monkeypatch.setattr(upcoming, "MAX_SORTED", 1)
    said = list[str]()
    for name in ("next_until", "in_order"):
        monkeypatch.setattr(lists, name, noted(name, said))
    await jobs.transact(upcoming.jobs_until, None, None, 10, JobFilter(projects=["default"]))
    await jobs.transact(upcoming.jobs_until, None, None, 10, JobFilter())
    monkeypatch.setattr(upcoming, "MAX_COUNTED", 1)
    await jobs.transact(upcoming.jobs_until, None, None, 10, JobFilter(projects=["default"]))
    assert said == ["in_order", "next_until", "next_until" if active else "in_order"]


@pytest.mark.parametrize("sort", JobSort)
async def test_a_list_of_few_knows_where_it_is(jobs: Database, sort: JobSort) -> None:
    everything = await jobs.read(reading.listing, JobFilter(), sort, None, 100)
    assert sorted(everything.known) == sorted(job.jobid for job in everything.jobs)
    after, number = None, 1
    while True:
        found = await jobs.read(reading.listing, JobFilter(), sort, after, 4)
        place = await jobs.read(reading.bearings, found.known, sort, after, 4)
        assert place.number == number
        assert found.jobs == everything.jobs[number - 1 : number + 3]
        if number > 5:
            # The page before it begins where it began.
            back = await jobs.read(reading.listing, JobFilter(), sort, place.before, 4)
            assert back.jobs == everything.jobs[number - 5 : number - 1]
        else:
            assert place.before is None
        if found.further is None:
            break
        after, number = found.further, number + 4
    assert number > 8


async def test_too_many_are_not_put_in_an_order_that_no_index_has(
    jobs: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_COUNTED", 3)
    for sort in JobSort:
        if sort in lists.OF_FEW:
            with pytest.raises(InvalidInput, match="Too many jobs match"):
                await jobs.read(reading.listing, JobFilter(), sort, None, 2)
        else:
            found = await jobs.read(reading.listing, JobFilter(), sort, None, 2)
            assert (len(found.jobs), found.known) == (2, ())


async def test_jobs_are_sorted_by_how_long_their_newest_run_took(
    jobs: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a tag, too, there may not be too many: a run of each is looked at."""
    for name, seconds in {"Quick": (9, 1), "Slow": (1, 30), "Never ran": ()}.items():
        jobid = await add_job(jobs, jobname=name, target=TARGET, interval=60, tags=["timed"])
        for number, took in enumerate(seconds):
            await execute(jobs, CALLED, jobid=jobid, ago=9 - number, took=took)
    wanted = JobFilter(tag="timed")
    for sort, names in (
        (JobSort.DURATION_DOWN, ["Slow", "Quick", "Never ran"]),
        (JobSort.DURATION, ["Quick", "Slow", "Never ran"]),
    ):
        found = await jobs.read(reading.listing, wanted, sort, None, 10)
        assert [job.jobname for job in found.jobs] == names
    monkeypatch.setattr(reading, "MAX_COUNTED", 2)
    with pytest.raises(InvalidInput, match="Too many jobs match"):
        await jobs.read(reading.listing, wanted, JobSort.DURATION, None, 10)
    assert (await jobs.read(reading.listing, wanted, JobSort.SCHEDULE, None, 10)).matching == 3
