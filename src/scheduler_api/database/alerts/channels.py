"""Statements on channels, and on the rules that say what they are told."""

from datetime import datetime
from typing import Any, NamedTuple

from scheduler_api.database.alerts.noticing import COVERS
from scheduler_api.database.statements import Session, Statement


class ChannelRow(NamedTuple):
    """A channel, but for what is secret of it."""

    channelid: int
    name: str
    kind: str
    recipients: list[str]
    origin: str | None
    createdat: datetime
    changedat: datetime
    lastsent: datetime | None
    failures: int
    failingsince: datetime | None
    error: str | None
    waiting: int


class RuleRow(NamedTuple):
    """A rule, and the channel that is told by it."""

    ruleid: int
    channelid: int
    channel: str
    project: str | None
    tag: str | None
    jobid: int | None
    kinds: list[str]
    after: int
    outof: int | None
    service: bool
    reminds: bool
    recovers: bool
    createdat: datetime


#: Waiting alerts are counted up to so many.
MAX_WAITING = 1000
_CHANNEL = f"""
    SELECT channelid, name, kind, recipients, origin, createdat, changedat, lastsent, failures, failingsince,
           error, (
               SELECT count(*) FROM (
                   SELECT FROM alert
                   WHERE alert.channelid = alertchannel.channelid AND sentat IS NULL AND deadat IS NULL
                   LIMIT {MAX_WAITING}
               ) AS waits
           ) AS waiting
    FROM alertchannel
"""
LISTED = Statement(f"{_CHANNEL} ORDER BY name", ChannelRow)
ONE = Statement(f"{_CHANNEL} WHERE channelid = :channelid", ChannelRow)
ADD = Statement(
    """
    INSERT INTO alertchannel (name, kind, recipients, ciphertext, origin, createdat, changedat)
    VALUES (:name, :kind, :recipients, :ciphertext, :origin, :now, :now)
    ON CONFLICT (name) DO NOTHING RETURNING channelid
    """
)
CHANGE = Statement(
    """
    UPDATE alertchannel SET name = :name, recipients = :recipients, origin = :origin, changedat = :now,
        ciphertext = coalesce(:ciphertext, ciphertext), openfrom = :now, failures = 0, failingsince = NULL,
        error = NULL
    WHERE channelid = :channelid
    """
)
LOCK = Statement("SELECT channelid FROM alertchannel WHERE channelid = :channelid FOR NO KEY UPDATE")
CIPHERTEXT = Statement("SELECT ciphertext FROM alertchannel WHERE channelid = :channelid")
NAMED = Statement("SELECT channelid FROM alertchannel WHERE name = :name AND channelid <> :channelid")
REMOVE = Statement("DELETE FROM alertchannel WHERE channelid = :channelid")
COUNT = Statement("SELECT count(*) FROM alertchannel")
_RULE = """
    SELECT rule.ruleid, rule.channelid, name AS channel, rule.project, rule.tag, rule.jobid, rule.kinds,
           rule.after, rule.outof, rule.service, rule.reminds, rule.recovers, rule.createdat
    FROM alertrule AS rule JOIN alertchannel USING (channelid)
"""
RULES = Statement(f"{_RULE} ORDER BY ruleid", RuleRow)
RULE = Statement(f"{_RULE} WHERE ruleid = :ruleid", RuleRow)
OF_JOB = Statement(
    f"""
    {_RULE} JOIN job ON job.jobid = :jobid WHERE {COVERS} AND cardinality(rule.kinds) > 0 ORDER BY ruleid
    """,
    RuleRow,
)
ADD_RULE = Statement(
    """
    INSERT INTO alertrule (
        channelid, project, tag, jobid, kinds, after, outof, service, reminds, recovers, createdat
    ) VALUES (
        :channelid, :project, :tag, :jobid, :kinds, :after, :outof, :service, :reminds, :recovers, :now
    ) RETURNING ruleid
    """
)
REMOVE_RULE = Statement("DELETE FROM alertrule WHERE ruleid = :ruleid")
COUNT_RULES = Statement("SELECT count(*) FROM alertrule")
FAILING = Statement(f"{_CHANNEL} WHERE failingsince < :before ORDER BY failingsince LIMIT :limit", ChannelRow)


async def listing(session: Session) -> list[ChannelRow]:
    """All channels, by name."""
    return await session.all(LISTED)


async def by_id(session: Session, channelid: int) -> ChannelRow | None:
    """The channel."""
    return await session.one_or_none(ONE, channelid=channelid)


async def broken(session: Session, before: datetime, limit: int) -> list[ChannelRow]:
    """Up to `limit` channels that have taken nothing since before then."""
    return await session.all(FAILING, before=before, limit=limit)


async def add(session: Session, now: datetime, values: dict[str, Any]) -> int | None:
    """Add a channel; its id. None: there is one of this name."""
    channelid: int | None = await session.value(ADD, now=now, **values)
    return channelid


async def lock(session: Session, channelid: int) -> bool:
    """Whether there is such a channel; nobody else changes it meanwhile."""
    return await session.value(LOCK, channelid=channelid) is not None


async def ciphertext(session: Session, channelid: int) -> bytes | None:
    """What is secret of a channel, encrypted; None: nothing."""
    found: bytes | None = await session.value(CIPHERTEXT, channelid=channelid)
    return found


async def is_taken(session: Session, name: str, channelid: int) -> bool:
    """Whether another channel has this name."""
    return await session.value(NAMED, name=name, channelid=channelid) is not None


async def change(session: Session, now: datetime, channelid: int, values: dict[str, Any]) -> None:
    """Change a channel; without a ciphertext, what is secret of it stays. It is tried again at once."""
    await session.all(CHANGE, now=now, channelid=channelid, **values)


async def remove(session: Session, channelid: int) -> None:
    """Remove a channel, with its rules."""
    await session.all(REMOVE, channelid=channelid)


async def count(session: Session) -> int:
    """How many channels there are."""
    return int(await session.value(COUNT))


async def rules(session: Session) -> list[RuleRow]:
    """All rules, the oldest first."""
    return await session.all(RULES)


async def rules_for(session: Session, jobid: int) -> list[RuleRow]:
    """The rules that cover a job, the oldest first."""
    return await session.all(OF_JOB, jobid=jobid)


async def rule(session: Session, ruleid: int) -> RuleRow | None:
    """The rule."""
    return await session.one_or_none(RULE, ruleid=ruleid)


async def insert_rule(session: Session, now: datetime, values: dict[str, Any]) -> int:
    """Add a rule; its id."""
    return int(await session.value(ADD_RULE, now=now, **values))


async def count_rules(session: Session) -> int:
    """How many rules there are."""
    return int(await session.value(COUNT_RULES))


async def delete_rule(session: Session, ruleid: int) -> None:
    """Remove a rule."""
    await session.all(REMOVE_RULE, ruleid=ruleid)
