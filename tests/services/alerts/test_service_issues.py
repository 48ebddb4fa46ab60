"""What is wrong with the service itself is told, once, until it is over."""

from datetime import timedelta

import pytest

from scheduler_api.contracts.alerts.channels import ChannelDraft, RuleDraft
from scheduler_api.contracts.alerts.mutes import MuteDraft
from scheduler_api.database.engine import Database
from scheduler_api.services.alerts import channels, mutes
from scheduler_api.services.system import troubles
from scheduler_api.services.system.troubles import Outage, Replica, Trouble
from scheduler_api.wording import issues as words
from tests.factories import ACTOR, CIPHER, NOON, execute, rows, scalar
from tests.services.runs.test_claims import at

DISK = Trouble(words.disk(3))


@pytest.fixture
async def channel(database: Database) -> int:
    """A channel that is told of everything."""
    return await add_channel(database, "#ops")


async def add_channel(database: Database, name: str) -> int:
    draft = ChannelDraft.model_validate({"name": name, "kind": "slack", "url": "https://chat.example/x"})
    added = await database.transact(channels.add, ACTOR, draft, CIPHER, can_mail=False)
    return int(added.channelid)


async def look(database: Database, minutes: float, *found: Trouble, outage: Outage | None = None) -> None:
    """A replica has looked, so many minutes after noon, and found this."""

    await at(database, NOON + timedelta(minutes=minutes), troubles.tell_of, found, outage)


async def told(database: Database) -> list[tuple[int, str, str]]:
    query = "SELECT channelid, event, facts ->> 'kind' FROM alert ORDER BY alertid"
    return [tuple(row) for row in await rows(database, query)]


async def test_an_issue_is_told_once_and_that_it_is_over(database: Database, channel: int) -> None:
    for minute in range(3):
        await look(database, minute, DISK)
    assert await told(database) == [(channel, "opened", "disk")]
    # Another replica, which has no disk of its own, has not found it.
    await look(database, 3)
    await look(database, 11)
    assert await told(database) == [(channel, "opened", "disk")]
    await look(database, 13)
    assert await told(database) == [(channel, "opened", "disk"), (channel, "ended", "disk")]
    facts = await scalar(database, "SELECT facts FROM alert WHERE event = 'ended'")
    assert (facts["since"], facts["seenat"]) == ("2030-01-31T12:00:00+00:00", "2030-01-31T12:02:00+00:00")
    await look(database, 14, DISK)
    assert len(await told(database)) == 3


async def test_what_goes_on_is_reminded_of(database: Database, channel: int) -> None:
    for hour in (0, 5.9, 6.1, 12, 30, 31):
        await look(database, 60 * hour, DISK)
        await execute(database, "UPDATE serviceissue SET seenat = '2031-01-01'")
    events = [event for _, event, _ in await told(database)]
    assert events == ["opened", "reminder", "reminder"]


async def test_a_channel_is_told_of_others_that_fail_and_never_of_itself(database: Database) -> None:
    """An alert about alerting makes no further one."""
    first, second = await add_channel(database, "#ops"), await add_channel(database, "#db")
    await database.transact(channels.add_rule, ACTOR, RuleDraft(channelid=second))
    await execute(
        database,
        "UPDATE alertchannel SET failures = 3, failingsince = CAST('2030-01-31 11:00Z' AS timestamptz),"
        " error = 'No.'",
    )
    for minute in range(5):
        found = await at(database, NOON, troubles.find_all, Replica("a"))
        assert [trouble.issue.kind.value for trouble in found] == ["channel", "channel"]
        await look(database, minute, *found)
    assert sorted(await told(database)) == [(first, "opened", "channel"), (second, "opened", "channel")]
    titles = await rows(database, "SELECT facts ->> 'what' FROM alert ORDER BY channelid")
    assert [row[0] for row in titles] == ["Alerts do not reach #db", "Alerts do not reach #ops"]


async def test_rules_say_who_is_told(database: Database, channel: int) -> None:
    """A rule about some jobs tells nothing of the service unless it says so; one may tell of nothing else."""
    second, third = await add_channel(database, "#some"), await add_channel(database, "#infra")
    await database.transact(channels.add_rule, ACTOR, RuleDraft(channelid=second, tag="nightly"))
    draft = RuleDraft(channelid=third, kinds=[], service=True, recovers=False)
    rule = await database.transact(channels.add_rule, ACTOR, draft)
    assert rule.words == "Tell #infra of issues of the service itself, again after 6 hours and then daily."
    assert not rule.is_about_all_jobs
    await look(database, 0, DISK)
    await look(database, 20)
    expected = [(channel, "opened"), (third, "opened"), (channel, "ended")]
    assert [(one, event) for one, event, _ in await told(database)] == expected


async def test_a_mute_of_everything_holds_it(database: Database, channel: int) -> None:
    for values in ({}, {"tag": "nightly"}):
        draft = MuteDraft.model_validate({"until": "2030-01-31T14:00:00Z"} | values)
        await at(database, NOON, mutes.add, ACTOR, draft)
    await look(database, 0, DISK)
    await look(database, 20)
    # What came and went meanwhile is told to nobody.
    assert await scalar(database, "SELECT count(*) FROM alert WHERE deadat IS NOT NULL") == 1
    await look(database, 30, DISK)
    waiting = "SELECT count(*) FROM alert WHERE deadat IS NULL AND holduntil > '2030-01-31 13:00Z'"
    assert await scalar(database, waiting) == 1
    await at(database, NOON + timedelta(minutes=31), mutes.remove, ACTOR, 1)
    assert (
        await scalar(database, "SELECT count(*) FROM alert WHERE deadat IS NULL AND holduntil IS NULL") == 1
    )


async def test_an_outage_that_is_over_is_told(database: Database, channel: int) -> None:
    await look(database, 0, outage=Outage("box:1", 250))
    facts = await scalar(database, "SELECT facts FROM alert")
    assert facts["what"] == "Replica box:1 could not reach the database for 4 minutes 10 seconds"
    assert facts["since"] == "2030-01-31T11:55:50+00:00"
    await look(database, 11)
    assert [event for _, event, _ in await told(database)] == ["opened", "ended"]


async def test_what_a_replica_says_of_itself_names_it(database: Database, channel: int) -> None:
    replica = Replica("box:1", ["It has claimed nothing for 2 minutes.", "And more."], crowded=60)
    found = await at(database, NOON, troubles.find_all, replica)
    await look(database, 0, *found)
    known = await rows(database, "SELECT facts ->> 'what', facts ->> 'why' FROM alert")
    assert [tuple(row) for row in known] == [
        ("Replica box:1 is not working", "It has claimed nothing for 2 minutes.")
    ]


async def test_two_replicas_that_look_at_once_remind_of_it_once(database: Database, channel: int) -> None:
    for minutes in (0, 365):
        await look(database, minutes, DISK)
        # The transaction of the other one began a moment before.
        await look(database, minutes - 0.001, DISK)
    assert [event for _, event, _ in await told(database)] == ["opened", "reminder"]


async def test_a_clock_that_was_ahead_keeps_no_issue_open(database: Database, channel: int) -> None:
    await look(database, 600, DISK)
    await look(database, 0)
    assert [event for _, event, _ in await told(database)] == ["opened", "ended"]
