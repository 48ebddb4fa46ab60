"""What is noticed of jobs, who is told, and when it is over."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from scheduler_api.contracts.alerts.channels import ChannelDraft, RuleDraft
from scheduler_api.contracts.alerts.mutes import MuteDraft
from scheduler_api.contracts.jobs.actions import History, Missed, Pause, Resume
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.database.engine import Database
from scheduler_api.services.alerts import channels, mutes, sending
from scheduler_api.services.jobs import actions, editing, together
from scheduler_api.services.runs import passes, retrying, watching
from scheduler_api.targets import Failure
from tests.factories import ACTOR, CIPHER, NOON, add_job, execute, rows, scalar
from tests.services.runs.test_claims import TARGET, after, at, claim, failed, finished, settle
from tests.services.runs.test_passes import run_at

ONCE = TARGET | {"retries": 0}


@pytest.fixture
async def channel(database: Database) -> int:
    """A channel that is told of everything."""
    draft = ChannelDraft.model_validate({"name": "#ops", "kind": "slack", "url": "https://chat.example/x"})
    added = await database.transact(channels.add, ACTOR, draft, CIPHER, can_mail=False)
    return int(added.channelid)


async def told(database: Database) -> list[tuple[str, str]]:
    """The alerts so far, as event and kind."""
    query = "SELECT event, facts ->> 'kind' FROM alert ORDER BY alertid"
    return [tuple(row) for row in await rows(database, query)]


async def known(database: Database) -> list[tuple[str, int, str | None]]:
    """The issues so far: kind, how often, and how it ended."""
    found = await rows(database, "SELECT kind, times, ending FROM jobissue ORDER BY issueid")
    open_now = await scalar(database, "SELECT count(*) FROM jobissue WHERE endedat IS NULL")
    assert open_now == await scalar(database, "SELECT coalesce(sum(openissues), 0) FROM job")
    return [tuple(row) for row in found]


async def fail(database: Database, seconds: float, failure: Failure = Failure.STATUS) -> None:
    """Let the run that is due fail for good."""
    (started,) = (await claim(database, after(seconds))).started
    await settle(database, after(seconds), failed(started, failure, again=False))


async def succeed(database: Database, seconds: float) -> None:
    """Let the run that is due finish."""
    (started,) = (await claim(database, after(seconds))).started
    await settle(database, after(seconds), finished(started))


async def test_failures_in_a_row_are_one_issue_which_is_told_once_and_over_when_a_run_finishes(
    database: Database, channel: int
) -> None:
    await add_job(database, interval=60, target=ONCE, jobname="Export", tags=["nightly"])
    for number in range(3):
        await fail(database, 60 * number)
    assert await known(database) == [("failed", 3, None)]
    assert await told(database) == [("opened", "failed")]
    await succeed(database, 180)
    assert await known(database) == [("failed", 3, "recovered")]
    assert await told(database) == [("opened", "failed"), ("ended", "failed")]
    ((facts,),) = await rows(database, "SELECT facts FROM alert WHERE event = 'ended'")
    assert (facts["jobname"], facts["tags"], facts["times"], facts["error"]) == (
        "Export",
        ["nightly"],
        3,
        "It said no.",
    )
    assert datetime.fromisoformat(facts["firstfor"]) == NOON
    assert datetime.fromisoformat(facts["lastfor"]) == after(120)
    await succeed(database, 240)
    await fail(database, 300)
    assert await known(database) == [("failed", 3, "recovered"), ("failed", 1, None)]


async def test_an_attempt_that_is_repeated_is_no_failure(database: Database, channel: int) -> None:
    await add_job(database, interval=3600, target=TARGET)
    (started,) = (await claim(database, NOON)).started
    await settle(database, after(1), failed(started))
    assert await known(database) == []


async def test_nobody_is_told_before_as_many_failures_as_a_rule_says(database: Database) -> None:
    draft = ChannelDraft.model_validate({"name": "x", "kind": "slack", "url": "https://chat.example/x"})
    added = await database.transact(channels.add, ACTOR, draft, CIPHER, can_mail=False)
    await execute(database, "UPDATE alertrule SET after = 3")
    await add_job(database, interval=60, target=ONCE)
    await fail(database, 0)
    await fail(database, 60)
    assert await told(database) == []
    await succeed(database, 120)
    # Nobody was told that it failed: nobody is told that it does not any more.
    assert await told(database) == []
    for number in range(3, 8):
        await fail(database, 60 * number)
    assert await told(database) == [("opened", "failed")]
    assert added.channelid == 1


@pytest.mark.parametrize(
    ("rule", "is_told"),
    [
        ({}, True),
        ({"project": "default"}, True),
        ({"tag": "nightly"}, True),
        ({"jobid": 1}, True),
        ({"kinds": ["failed", "late"]}, True),
        ({"tag": "nightly", "project": "default", "jobid": 1}, True),
        ({"project": "other"}, False),
        ({"tag": "hourly"}, False),
        ({"jobid": 2}, False),
        ({"kinds": ["missed"]}, False),
        ({"tag": "nightly", "jobid": 2}, False),
    ],
)
async def test_a_rule_chooses_by_project_tag_job_and_kind(
    database: Database, channel: int, rule: dict[str, Any], is_told: bool
) -> None:
    await execute(database, "INSERT INTO project (name, createdat) VALUES ('other', now())")
    await execute(database, "DELETE FROM alertrule")
    await add_job(database, interval=60, target=ONCE, tags=["nightly"])
    await add_job(database, due=None, interval=60)
    draft = RuleDraft.model_validate({"channelid": channel, **rule})
    await database.transact(channels.add_rule, ACTOR, draft)
    await fail(database, 0)
    assert await told(database) == ([("opened", "failed")] if is_told else [])


async def test_a_channel_that_two_rules_are_about_is_told_once(database: Database, channel: int) -> None:
    await database.transact(channels.add_rule, ACTOR, RuleDraft(channelid=channel))
    await add_job(database, interval=60, target=ONCE)
    await fail(database, 0)
    await succeed(database, 60)
    assert await told(database) == [("opened", "failed"), ("ended", "failed")]


@pytest.mark.parametrize(("misfire", "times"), [("once", 10), ("skip", 10), ("all", None)])
async def test_occurrences_that_pass_without_a_run_are_missed(
    database: Database, channel: int, misfire: str, times: int | None
) -> None:
    """With `all`, each has its own, if late."""
    await add_job(database, interval=60, misfire=misfire, grace=30)
    while (await run_at(database, after(630))).claimed:
        pass
    found = await known(database)
    assert found == ([] if times is None else [("missed", found[0][1], None)])
    if times is not None:
        assert found[0][1] in {times, times + 1}
        # What made up for them does not end it: the next run does.
        await run_at(database, after(660))
        assert [ending for _, _, ending in await known(database)] == ["recovered"]


async def test_a_call_that_stands_for_missed_ones_does_not_end_what_it_stands_for(
    database: Database, channel: int
) -> None:
    await add_job(database, interval=60, target=ONCE)
    (started,) = (await claim(database, after(200))).started
    assert await known(database) == [("missed", 3, None)]
    await settle(database, after(201), finished(started))
    assert await known(database) == [("missed", 3, None)]
    await succeed(database, 240)
    assert await known(database) == [("missed", 3, "recovered")]


async def test_what_an_overlap_keeps_back_is_missed(database: Database, channel: int) -> None:
    await add_job(database, interval=60, target=ONCE, misfire="skip", grace=30)
    (started,) = (await claim(database, after(2))).started
    await settle(database, after(200), finished(started))
    assert await known(database) == [("missed", 2, None)]


async def test_a_run_that_somebody_cancels_is_no_failure(database: Database, channel: int) -> None:
    await add_job(database, interval=60, target=ONCE)
    await claim(database, NOON)
    await at(database, after(1), retrying.cancel, ACTOR, 1)
    assert await known(database) == []


async def test_results_of_one_batch_count_one_after_the_other(database: Database, channel: int) -> None:
    await add_job(database, interval=60, target=ONCE, overlap=True)
    started = [(await claim(database, after(60 * number))).started[0] for number in range(4)]
    ends = [failed(started[0], again=False), finished(started[1]), failed(started[2], again=False)]
    await settle(database, after(200), *ends, failed(started[3], again=False))
    assert await known(database) == [("failed", 1, "recovered"), ("failed", 2, None)]
    assert await told(database) == [("opened", "failed"), ("ended", "failed"), ("opened", "failed")]


async def test_a_job_that_the_service_pauses_still_fails_until_somebody_resumes_it(
    database: Database, channel: int
) -> None:
    await add_job(database, interval=60, target=ONCE, autopause=2)
    await fail(database, 0)
    await fail(database, 60)
    assert await known(database) == [("failed", 2, None), ("paused", 1, None)]
    assert await told(database) == [("opened", "failed"), ("opened", "paused")]
    await at(database, after(70), actions.resume, ACTOR, 1, Resume(missed=Missed.SKIP))
    assert await known(database) == [("failed", 2, None), ("paused", 1, "resumed")]
    await succeed(database, 120)
    assert await known(database) == [("failed", 2, "recovered"), ("paused", 1, "resumed")]


@pytest.mark.parametrize("many", [False, True])
async def test_a_pause_and_a_deletion_close_what_they_account_for(
    database: Database, channel: int, many: bool
) -> None:
    await add_job(database, interval=60, target=ONCE)
    await fail(database, 0)
    order = Pause(reason="Maintenance.")
    if many:
        assert await at(database, after(10), together.pause, ACTOR, [1], order, uuid4()) == [1]
    else:
        await at(database, after(10), actions.pause, ACTOR, 1, order)
    assert await known(database) == [("failed", 1, "paused")]
    await at(database, after(20), actions.resume, ACTOR, 1, Resume())
    await fail(database, 60)
    if many:
        assert await at(database, after(70), together.delete, ACTOR, [1]) == [1]
    else:
        await at(database, after(70), editing.delete, ACTOR, 1, History.KEEP)
    assert await known(database) == [("failed", 1, "paused"), ("failed", 1, "deleted")]
    assert [event for event, _ in await told(database)] == ["opened", "ended", "opened", "ended"]


async def test_a_job_that_is_removed_takes_its_issues_along_but_not_what_is_told(
    database: Database, channel: int
) -> None:
    await add_job(database, interval=60, target=ONCE)
    await fail(database, 0)
    await at(database, after(70), editing.delete, ACTOR, 1, History.REMOVE)
    assert await known(database) == []
    assert await told(database) == [("opened", "failed"), ("ended", "failed")]


@pytest.mark.parametrize(
    ("patch", "ending"),
    [
        ({"target": ONCE | {"url": "http://b.example/hook"}}, "edited"),
        ({"jobname": "Another name"}, None),
        ({"interval": 90}, None),
    ],
)
async def test_an_edit_closes_what_it_accounts_for(
    database: Database, channel: int, patch: dict[str, Any], ending: str | None
) -> None:
    await add_job(database, interval=60, target=ONCE)
    # Written as the service writes it, a target is the same when it is written again.
    name = JobPatch.model_validate({"jobname": "A name"})
    await at(database, NOON - timedelta(hours=1), editing.edit, ACTOR, CIPHER, 1, name)
    await fail(database, 0)
    await at(database, after(10), editing.edit, ACTOR, CIPHER, 1, JobPatch.model_validate(patch))
    assert await known(database) == [("failed", 1, ending)]


async def test_an_edit_of_the_schedule_closes_what_was_missed_by_the_old_one(
    database: Database, channel: int
) -> None:
    await add_job(database, interval=60)
    await run_at(database, after(200))
    patch = JobPatch.model_validate({"interval": 90})
    await at(database, after(210), editing.edit, ACTOR, CIPHER, 1, patch)
    assert await known(database) == [("missed", 3, "edited")]


async def look(database: Database, seconds: float) -> list[tuple[str, int, str | None]]:
    """Look for what does not happen, as a replica would at that time; what is known then."""
    found = await at_clock(database, after(seconds))
    await at(database, after(seconds), watching.verify, found)
    await at(database, after(seconds), watching.clear)
    return await known(database)


async def at_clock(database: Database, now: datetime) -> list[watching.Suspicion]:
    """What a look finds at an instant of our choice."""

    async def clock(_: Any) -> datetime:
        return now

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("scheduler_api.database.jobs.definitions.clock", clock)
        found = await database.read(watching.suspect_runs)
        walked = await database.read(watching.walk_jobs, 0)
        if walked.distances:
            await at(database, now, watching.keep_distances, walked.distances)
        return [*found, *walked.silent]


async def test_a_run_that_does_not_begin_is_late_until_it_does(database: Database, channel: int) -> None:
    await database.transact(
        channels.add_rule, ACTOR, RuleDraft.model_validate({"channelid": channel, "kinds": ["late"]})
    )
    await add_job(database, interval=3600, target=ONCE)
    assert await look(database, 59) == []
    assert await look(database, 61) == [("late", 1, None)]
    assert await look(database, 80) == [("late", 1, None)]
    await claim(database, after(90))
    assert await look(database, 91) == [("late", 1, "recovered")]
    assert await told(database) == [("opened", "late"), ("ended", "late")]


async def test_a_run_is_stuck_that_takes_far_longer_than_usual(database: Database, channel: int) -> None:
    await add_job(database, interval=60, target=ONCE)
    for number in range(20):
        (started,) = (await claim(database, after(60 * number))).started
        assert await look(database, 60 * number + 30) == []
        await settle(database, after(60 * number + 30), finished(started))
    (started,) = (await claim(database, after(1200))).started
    assert await look(database, 1200 + 89) == []
    assert await look(database, 1200 + 91) == [("stuck", 1, None)]
    assert await look(database, 1200 + 120) == [("stuck", 1, None)]
    await settle(database, after(1200 + 130), failed(started, again=False))
    assert (await look(database, 1200 + 131))[:2] == [("stuck", 1, "recovered"), ("failed", 1, None)]


@pytest.mark.parametrize("seconds", [45, 400])
async def test_a_job_says_itself_how_long_a_run_may_take(
    database: Database, channel: int, seconds: int
) -> None:
    """From its first run on, and whatever is usual."""
    await add_job(database, interval=3600, target=ONCE, stuckafter=seconds)
    (started,) = (await claim(database, NOON)).started
    assert await look(database, seconds - 1) == []
    assert await look(database, seconds + 2) == [("stuck", 1, None)]
    assert await told(database) == [("opened", "stuck")]
    error = await scalar(database, "SELECT error FROM jobissue")
    assert error.startswith("It has been running for")
    assert "longer than the" in error
    await settle(database, after(seconds + 3), finished(started))
    assert await look(database, seconds + 4) == [("stuck", 1, "recovered")]


async def test_a_job_says_itself_for_how_long_it_may_be_silent(database: Database, channel: int) -> None:
    """Although it runs, and whatever else is wrong: what counts is that a run finishes."""
    await add_job(database, interval=60, target=ONCE, silentafter=150)
    await succeed(database, 0)
    await execute(database, "UPDATE alertrule SET kinds = '{silent}'")
    await fail(database, 60)
    assert "silent" not in [kind for kind, _, _ in await look(database, 149)]
    await fail(database, 120)
    for seconds in (152, 160):
        assert ("silent", 1, None) in await look(database, seconds)
    assert await told(database) == [("opened", "silent")]
    await succeed(database, 180)
    assert await told(database) == [("opened", "silent"), ("ended", "silent")]


async def test_a_job_is_silent_when_two_of_its_runs_have_passed_without_success(
    database: Database, channel: int
) -> None:
    """Whatever the reason: here its row is held by nobody knows whom."""
    await add_job(database, interval=60)
    await run_at(database, after(0))
    assert await look(database, 60 + 59) == []
    assert [kind for kind, _, _ in await look(database, 60 + 121)] == ["late"]
    await execute(database, "UPDATE jobissue SET endedat = now(), ending = 'recovered'")
    await execute(database, "UPDATE job SET openissues = 0")
    await execute(database, "UPDATE joblog SET nextrun = nextrun + interval '1 day' WHERE status = 'pending'")
    assert [kind for kind, _, _ in await look(database, 60 + 125)] == ["late", "silent"]
    await execute(database, "UPDATE joblog SET nextrun = scheduledfor WHERE status = 'pending'")
    await run_at(database, after(60 + 130))
    await run_at(database, after(300))
    assert ("silent", 1, "recovered") in await known(database)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        # Friday's run is followed by Monday's.
        ({"cron": "0 12 * * 1-5", "repeat": True, "startdate": None, "starttime": None}, 4.9 * 86400),
        ({"interval": 86400, "exclude": ["2030-02-01/2030-02-20"]}, 20 * 86400),
    ],
)
async def test_a_job_is_not_silent_while_it_has_nothing_to_run(
    database: Database, channel: int, values: dict[str, Any], seconds: float
) -> None:
    await add_job(database, **values)
    await execute(database, "UPDATE job SET createdat = :at, validfrom = :at", at=NOON)
    await execute(
        database, "UPDATE joblog SET nextrun = nextrun + interval '1 year' WHERE status = 'pending'"
    )
    for _ in range(2):
        assert "silent" not in [kind for kind, _, _ in await look(database, seconds)]


async def test_a_job_is_not_silent_as_it_was_paused_for_long(database: Database, channel: int) -> None:
    await add_job(database, interval=60)
    await run_at(database, after(0))
    await at(database, after(10), actions.pause, ACTOR, 1, Pause())
    assert await look(database, 86400) == []
    await at(database, after(86400), actions.resume, ACTOR, 1, Resume(missed=Missed.SKIP))
    assert await look(database, 86400 + 1) == []


async def test_those_who_were_told_are_reminded_after_six_hours_and_then_daily(
    database: Database, channel: int
) -> None:
    await add_job(database, interval=60, target=ONCE)
    await fail(database, 0)
    hours = timedelta(hours=1)
    for passed in (5.9, 6.1, 7, 29.9, 30.2, 31):
        await at(database, NOON + passed * hours, sending.tend)
        # So does another replica, whose transaction began a moment before.
        await at(database, NOON + passed * hours - timedelta(milliseconds=5), sending.tend)
    assert await told(database) == [("opened", "failed"), ("reminder", "failed"), ("reminder", "failed")]


async def test_what_comes_and_goes_is_told_once_until_it_is_stable(database: Database, channel: int) -> None:
    await add_job(database, interval=60, target=ONCE)
    for number in range(0, 16, 2):
        await fail(database, 60 * number)
        await succeed(database, 60 * number + 60)
    assert len(await known(database)) == 8
    said = [("opened", "failed"), ("ended", "failed")] * 3
    assert await told(database) == [*said, ("opened", "failed")]
    flapping = "SELECT facts ->> 'flapping' FROM alert ORDER BY alertid DESC LIMIT 1"
    assert await scalar(database, flapping) == "true"
    last = 60 * 15
    await at(database, after(last + 29 * 60), sending.tend)
    assert len(await told(database)) == 7
    for _ in range(2):
        await at(database, after(last + 31 * 60), sending.tend)
    assert await told(database) == [*said, ("opened", "failed"), ("ended", "failed")]
    # After an hour, it is news again.
    await execute(
        database,
        "UPDATE joblog SET nextrun = :at, scheduledfor = :at WHERE status = 'pending'",
        at=after(last + 7200),
    )
    await fail(database, last + 7200)
    assert (await told(database))[8:] == [("opened", "failed")]
    assert await scalar(database, flapping) == "false"


async def test_what_comes_and_goes_and_then_stays_is_told(database: Database, channel: int) -> None:
    await add_job(database, interval=60, target=ONCE)
    for number in range(0, 10, 2):
        await fail(database, 60 * number)
        await succeed(database, 60 * number + 60)
    await fail(database, 60 * 10)
    assert [event for event, _ in await told(database)][6:] == ["opened"]
    began = after(60 * 10)
    await at(database, began + timedelta(minutes=29), sending.tend)
    assert [event for event, _ in await told(database)][6:] == ["opened"]
    await at(database, began + timedelta(minutes=31), sending.tend)
    assert [event for event, _ in await told(database)][6:] == ["opened", "opened"]
    await at(database, began + timedelta(hours=7), sending.tend)
    assert [event for event, _ in await told(database)][6:] == ["opened", "opened", "reminder"]
    await execute(database, "UPDATE joblog SET nextrun = scheduledfor WHERE status = 'pending'")
    (started,) = (await claim(database, began + timedelta(hours=8))).started
    await settle(database, began + timedelta(hours=8), finished(started))
    heard = [event for event, kind in (await told(database))[9:] if kind == "failed"]
    assert heard == ["ended"]
    # Who heard that it flaps hears that it is stable.
    await at(database, began + timedelta(hours=8, minutes=31), sending.tend)
    heard = [event for event, kind in (await told(database))[9:] if kind == "failed"]
    assert heard == ["ended", "ended"]
    query = """
        SELECT count(*) FROM alert AS opened WHERE event = 'opened'
          AND facts ->> 'kind' = 'failed' AND NOT EXISTS (
            SELECT FROM alert WHERE issueid = opened.issueid AND event = 'ended')
    """
    assert await scalar(database, query) == 0


async def test_what_flaps_first_and_stays_is_told_after_half_an_hour(
    database: Database, channel: int
) -> None:
    await add_job(database, interval=60, target=ONCE)
    for number in range(0, 6, 2):
        await fail(database, 60 * number)
        await succeed(database, 60 * number + 60)
    await fail(database, 60 * 6)
    assert [event for event, _ in await told(database)][6:] == ["opened"]
    await at(database, after(60 * 6) + timedelta(minutes=31), sending.tend)
    assert [event for event, _ in await told(database)][6:] == ["opened", "opened"]


async def test_a_channel_that_was_not_told_of_flapping_is_told_of_what_follows(
    database: Database, channel: int
) -> None:
    await execute(database, "UPDATE alertrule SET after = 3")
    await add_job(database, interval=60, target=ONCE)
    for number in range(0, 10, 2):
        await fail(database, 60 * number)
        await succeed(database, 60 * number + 60)
    assert await told(database) == []
    for number in range(10, 13):
        await fail(database, 60 * number)
    assert await told(database) == [("opened", "failed")]


async def test_repairs_are_no_flapping(database: Database, channel: int) -> None:
    await add_job(database, interval=60, target=ONCE)
    ended = "UPDATE jobissue SET endedat = :at, ending = 'edited' WHERE endedat IS NULL"
    for number in range(5):
        await fail(database, 60 * number)
        await execute(database, ended, at=after(60 * number + 30))
        await execute(database, "UPDATE job SET openissues = 0")
    assert await scalar(database, "SELECT bool_or(flapping) FROM jobissue") is False


async def test_a_run_that_finishes_does_not_end_that_another_is_stuck(
    database: Database, channel: int
) -> None:
    await add_job(database, interval=60, target=ONCE, overlap=True)
    for number in range(20):
        (started,) = (await claim(database, after(60 * number))).started
        await settle(database, after(60 * number + 10), finished(started))
    (hangs,) = (await claim(database, after(1200))).started
    for number in range(21, 25):
        (started,) = (await claim(database, after(60 * number))).started
        await settle(database, after(60 * number + 10), finished(started))
    assert await look(database, 60 * 24 + 11) == [("stuck", 1, None)]
    (started,) = (await claim(database, after(60 * 25))).started
    await settle(database, after(60 * 25 + 10), finished(started))
    assert await known(database) == [("stuck", 1, None)]
    await settle(database, after(60 * 25 + 20), finished(hangs))
    assert await look(database, 60 * 25 + 21) == [("stuck", 1, "recovered")]


async def test_a_run_that_stands_for_missed_ones_adds_to_what_was_missed(
    database: Database, channel: int
) -> None:
    await add_job(database, interval=60)
    await run_at(database, after(200))
    await run_at(database, after(400))
    assert await known(database) == [("missed", 5, None)]


async def test_nobody_is_reminded_of_a_job_that_is_over(database: Database, channel: int) -> None:
    await add_job(database, target=ONCE)
    await fail(database, 0)
    await at(database, NOON + timedelta(hours=7), sending.tend)
    assert await told(database) == [("opened", "failed")]


async def test_nobody_is_reminded_of_what_somebody_knows_of(database: Database, channel: int) -> None:
    await add_job(database, interval=60, target=ONCE)
    await fail(database, 0)
    await execute(
        database,
        "UPDATE jobissue SET ackedby = 'ann', ackedat = :at, ackeduntil = :until",
        at=NOON,
        until=NOON + timedelta(hours=12),
    )
    await at(database, NOON + timedelta(hours=7), sending.tend)
    assert await told(database) == [("opened", "failed")]
    await at(database, NOON + timedelta(hours=12, minutes=1), sending.tend)
    assert await told(database) == [("opened", "failed"), ("reminder", "failed")]


async def test_a_run_that_is_well_costs_no_statement_more(database: Database, channel: int) -> None:
    """The rules of a job say whether there is anything to end."""
    await add_job(database, interval=60)
    asked: list[str] = []

    async def work(session: Any, _: datetime) -> None:
        before = type(session).all

        async def counting(self: Any, statement: Any, **values: Any) -> Any:
            asked.append(statement.sql)
            return await before(self, statement, **values)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(type(session), "all", counting)
            await passes.run_pass(session, after(2), 10, after(2))

    await database.transact(work)
    assert asked
    assert not [sql for sql in asked if "jobissue" in sql]


async def hold(database: Database, now: datetime, **values: Any) -> int:
    """Add a mute at an instant; its id."""
    added = await at(database, now, mutes.add, ACTOR, MuteDraft.model_validate(values))
    return int(added.muteid)


async def sendable(database: Database, now: datetime) -> list[tuple[str, str]]:
    """What may be sent at an instant, as event and kind."""
    query = (
        "SELECT event, facts ->> 'kind' FROM alert WHERE sentat IS NULL AND deadat IS NULL"
        " AND (holduntil IS NULL OR holduntil <= :at) ORDER BY alertid"
    )
    return [tuple(row) for row in await rows(database, query, at=now)]


async def test_what_outlives_a_mute_is_told_at_its_end_and_what_does_not_to_nobody(
    database: Database, channel: int
) -> None:
    await add_job(database, interval=60, target=ONCE, tags=["crm"])
    await add_job(database, interval=60, target=ONCE, tags=["crm"])
    await hold(database, NOON, tag="crm", until=after(600).isoformat())
    for started in (await claim(database, NOON)).started:
        await settle(database, after(1), failed(started, again=False))
    assert await sendable(database, after(10)) == []
    (started,) = (await claim(database, after(60), limit=1)).started
    await settle(database, after(61), finished(started))
    assert [state for _, _, state in await known(database)].count("recovered") == 1
    assert await sendable(database, after(599)) == []
    assert await sendable(database, after(600)) == [("opened", "failed")]
    assert (
        await scalar(
            database, "SELECT count(*) FROM alert WHERE error = 'It was over before the mute ended.'"
        )
        == 1
    )


async def test_what_was_told_before_a_mute_is_over_when_that_ends(database: Database, channel: int) -> None:
    await add_job(database, interval=60, target=ONCE)
    await fail(database, 0)
    await execute(database, "UPDATE alert SET sentat = :at, messageid = gen_random_uuid()", at=after(1))
    await hold(database, after(10), until=after(600).isoformat())
    await succeed(database, 60)
    assert await sendable(database, after(61)) == []
    assert await sendable(database, after(600)) == [("ended", "failed")]


@pytest.mark.parametrize(
    ("scope", "is_held"),
    [
        ({}, True),
        ({"tag": "crm"}, True),
        ({"jobid": 1}, True),
        ({"tag": "web"}, False),
        ({"jobid": 2}, False),
    ],
)
async def test_a_mute_is_about_what_it_says(
    database: Database, channel: int, scope: dict[str, Any], is_held: bool
) -> None:
    await add_job(database, interval=60, target=ONCE, tags=["crm"])
    await add_job(database, due=None, interval=60)
    await hold(database, NOON, until=after(600).isoformat(), **scope)
    await fail(database, 0)
    assert (await sendable(database, after(10)) == []) is is_held


async def test_who_removes_a_mute_lets_go_of_what_it_held_back(database: Database, channel: int) -> None:
    await add_job(database, interval=60, target=ONCE)
    muteid = await hold(database, NOON, until=after(600).isoformat())
    other = await hold(database, NOON, until=after(300).isoformat(), jobid=1)
    await fail(database, 0)
    await at(database, after(20), mutes.remove, ACTOR, muteid)
    assert await sendable(database, after(30)) == []
    await at(database, after(40), mutes.remove, ACTOR, other)
    assert await sendable(database, after(40)) == [("opened", "failed")]


async def test_a_mute_that_holds_much_is_lifted_step_by_step(
    database: Database, channel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutes, "BATCH", 2)
    for _ in range(5):
        await add_job(database, interval=60, target=ONCE)
    muteid = await hold(database, NOON, until=after(6000).isoformat())
    for started in (await claim(database, NOON)).started:
        await settle(database, after(1), failed(started, again=False))
    released = []
    await at(database, after(20), mutes.remove, ACTOR, muteid)
    assert await database.read(mutes.listing) == []
    for seconds in (30, 40, 50):
        released.append(len(await sendable(database, after(seconds))))
        await at(database, after(seconds), sending.tend)
    assert released == [2, 4, 5]
    # What a transaction writes that saw it hold is released, too.
    await execute(database, "UPDATE alert SET holduntil = :at WHERE alertid = 1", at=after(6000))
    for seconds in (60, 90, 95):
        await at(database, after(seconds), sending.tend)
    assert len(await sendable(database, after(100))) == 5
    assert await scalar(database, "SELECT count(*) FROM alertmute") == 0


async def test_a_mute_on_a_cron_holds_in_each_window_by_the_clocks_of_its_zone(
    database: Database, channel: int
) -> None:
    await hold(database, NOON, cron="0 2 * * *", timezone="Europe/Berlin", minutes=120)
    windows = "SELECT since, until FROM alertmute"
    one = datetime(2030, 2, 1, 1, tzinfo=UTC)
    assert [tuple(row) for row in await rows(database, windows)] == [(one, one + timedelta(hours=2))]
    await at(database, one + timedelta(hours=1), sending.tend)
    assert [tuple(row) for row in await rows(database, windows)] == [(one, one + timedelta(hours=2))]
    # After the change of the clocks, two in the morning comes an hour earlier.
    await at(database, datetime(2030, 4, 1, 12, tzinfo=UTC), sending.tend)
    later = datetime(2030, 4, 2, 0, tzinfo=UTC)
    assert [tuple(row) for row in await rows(database, windows)] == [(later, later + timedelta(hours=2))]


async def test_a_mute_that_is_over_goes(database: Database, channel: int) -> None:
    await hold(database, NOON, until=after(600).isoformat())
    await at(database, after(601), sending.tend)
    assert await scalar(database, "SELECT count(*) FROM alertmute") == 0


async def test_a_failure_is_over_after_as_many_successes_as_the_job_asks_for(
    database: Database, channel: int
) -> None:
    await add_job(database, interval=60, target=ONCE, recoverafter=3)
    await fail(database, 0)
    for number in (1, 2):
        await succeed(database, 60 * number)
    assert await known(database) == [("failed", 1, None)]
    # It begins anew.
    await fail(database, 180)
    for number in (4, 5, 6):
        assert await known(database) == [("failed", 2, None)]
        await succeed(database, 60 * number)
    assert await known(database) == [("failed", 2, "recovered")]
    assert await told(database) == [("opened", "failed"), ("ended", "failed")]
    # Other kinds wait for nothing.
    await fail(database, 420)
    await at(database, after(450), editing.edit, ACTOR, CIPHER, 1, JobPatch.model_validate({"target": None}))
    assert (await known(database))[1:] == [("failed", 1, "edited")]


@pytest.mark.parametrize(
    ("runs", "tells"), [("FSFSF", 1), ("FSSFSSF", 0), ("FFSSSSF", 0), ("FSFFS", 1), ("SSSSF", 0)]
)
async def test_a_rule_counts_failures_among_the_newest_runs(
    database: Database, channel: int, runs: str, tells: int
) -> None:
    await execute(database, "DELETE FROM alertrule")
    draft = RuleDraft(channelid=channel, after=3, outof=5, recovers=False)
    await database.transact(channels.add_rule, ACTOR, draft)
    await add_job(database, interval=60, target=ONCE)
    for number, run in enumerate(runs):
        await (fail if run == "F" else succeed)(database, 60 * number)
    assert await told(database) == [("opened", "failed")] * tells
    # What it would have sent is what it sent.
    seen = await database.read(channels.preview, draft)
    assert (seen.jobs, seen.alerts) == (1, tells)
