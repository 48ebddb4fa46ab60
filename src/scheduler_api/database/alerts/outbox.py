"""Statements on the outbox: what channels are to be told, taken by one replica at a time for each channel."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from scheduler_api.database.statements import Session, Statement


class TakenChannel(NamedTuple):
    """A channel that a replica sends to for a while."""

    channelid: int
    name: str
    kind: str
    recipients: list[str]
    ciphertext: bytes | None
    failures: int


class WaitingAlert(NamedTuple):
    """An alert that is part of the message to send."""

    alertid: int
    messageid: UUID
    issueid: int | None
    serviceissueid: int | None
    jobid: int | None
    event: str
    number: int
    at: datetime
    facts: dict[str, Any]
    attempts: int
    """How often it was tried, this time included."""


#: The longest that a channel is left alone.
MAX_WAIT = timedelta(seconds=900)
WAITS = "sentat IS NULL AND deadat IS NULL"
#: And may be sent.
IS_READY = f"{WAITS} AND (holduntil IS NULL OR holduntil <= :now)"
#: Whether a channel takes something now. What a clock that was ahead has said of it is no reason to wait: a
#: wait is never that long. A transaction that began a moment after this one may have written it.
IS_OPEN = "(openfrom <= :now OR openfrom > CAST(:nevermore AS timestamptz) + interval '1 minute')"
#: Whether no other replica sends to a channel: each is connected under its name for as long as it lives, so
#: that one that was killed holds nothing up. A lease of the future is judged as above.
IS_FREE = """
    leaseuntil IS NULL OR leaseuntil <= :now OR leaseuntil > CAST(:until AS timestamptz) + interval '1 minute'
    OR leaseholder IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = alertchannel.leaseholder
    )
"""
# What is noticed within moments is told together: a channel is taken when its news are a moment old, or
# cannot wait. Alerts of a channel come in the order of their ids, more or less.
TAKE_CHANNEL = Statement(
    f"""
    WITH open AS (
        SELECT alertchannel.channelid FROM alertchannel
        CROSS JOIN LATERAL (
            SELECT at, messageid FROM alert WHERE alert.channelid = alertchannel.channelid AND {IS_READY}
            ORDER BY alertid LIMIT 1
        ) AS first
        CROSS JOIN LATERAL (
            SELECT at FROM alert WHERE alert.channelid = alertchannel.channelid AND {IS_READY}
            ORDER BY alertid DESC LIMIT 1
        ) AS last
        WHERE {IS_OPEN} AND ({IS_FREE})
          AND (first.messageid IS NOT NULL OR last.at NOT BETWEEN :settled AND :now
               OR first.at NOT BETWEEN :urgent AND :now)
        ORDER BY first.at LIMIT 1 FOR NO KEY UPDATE OF alertchannel SKIP LOCKED
    )
    UPDATE alertchannel SET leasetoken = :token, leaseholder = :holder, leaseuntil = :until
    FROM open WHERE alertchannel.channelid = open.channelid
    RETURNING alertchannel.channelid, name, kind, recipients, ciphertext, failures
    """,
    TakenChannel,
)
# A message that was begun is sent again as it was, before anything else. Its id is made of what it tells, so
# that it is the same when it is sent once more by a database that was restored.
TAKE_ALERTS = Statement(
    f"""
    WITH first AS (
        SELECT messageid FROM alert WHERE channelid = :channelid AND {IS_READY} ORDER BY alertid LIMIT 1
    ), taken AS (
        SELECT alertid, at FROM alert
        WHERE channelid = :channelid AND {IS_READY}
          AND messageid IS NOT DISTINCT FROM (SELECT messageid FROM first)
        ORDER BY alertid LIMIT :limit
    ), told AS (
        SELECT CAST(md5(string_agg(
            concat(alertid, ' ', extract(epoch FROM at)), ' ' ORDER BY alertid
        )) AS uuid) AS id FROM taken
    )
    UPDATE alert SET messageid = coalesce(messageid, told.id), attempts = attempts + 1
    FROM taken, told WHERE alert.alertid = taken.alertid
    RETURNING alert.alertid, messageid, issueid, serviceissueid, jobid, event, number, alert.at, facts,
        attempts
    """,
    WaitingAlert,
)
# Whoever holds the channel by now: it was sent.
SENT = Statement(f"UPDATE alert SET sentat = :now, error = NULL WHERE alertid = ANY(:alertids) AND {WAITS}")
FAILED = Statement(
    f"""
    UPDATE alert
    SET error = :error, deadat = CASE WHEN CAST(:is_dead AS bool) THEN CAST(:now AS timestamptz) END
    WHERE alertid = ANY(:alertids) AND {WAITS}
    """
)
SENT_SINCE = Statement(
    """
    SELECT count(*) FROM (
        SELECT FROM alert WHERE channelid = :channelid AND sentat > :since AND sentat <= :now LIMIT :limit
    ) AS sent
    """
)
RELEASE = Statement(
    """
    UPDATE alertchannel SET leasetoken = NULL, leaseholder = NULL, leaseuntil = NULL, openfrom = :openfrom,
        lastsent = :now, failures = 0, failingsince = NULL, error = NULL
    WHERE channelid = :channelid AND leasetoken = :token
    """
)
RELEASE_FAILED = Statement(
    """
    UPDATE alertchannel SET leasetoken = NULL, leaseholder = NULL, leaseuntil = NULL, openfrom = :openfrom,
        failures = failures + 1, failingsince = coalesce(failingsince, :now), error = :error
    WHERE channelid = :channelid AND leasetoken = :token RETURNING failingsince
    """
)
ADD_TEST = Statement(
    """
    INSERT INTO alert (channelid, event, at, facts) VALUES (:channelid, 'test', :now, '{}') RETURNING alertid
    """
)
# Of channels that take what they are sent, and do not wait for more.
OLDEST = Statement(
    f"""
    SELECT min(waiting.at) FROM alertchannel CROSS JOIN LATERAL (
        SELECT at FROM alert WHERE alert.channelid = alertchannel.channelid AND {IS_READY}
        ORDER BY alertid LIMIT 1
    ) AS waiting
    WHERE failures = 0 AND {IS_OPEN}
    """
)
AGE = Statement(
    f"SELECT extract(epoch FROM clock_timestamp() - min(at)) FROM alert WHERE {WAITS}"
    " AND (holduntil IS NULL OR holduntil <= clock_timestamp())"
)
# Also what was added just when its channel was removed.
GIVE_UP = Statement(
    f"""
    UPDATE alert SET deadat = :now, error = 'The channel was removed.'
    WHERE {WAITS} AND NOT EXISTS (
        SELECT FROM alertchannel WHERE alertchannel.channelid = alert.channelid
    )
    """
)
# With its whole message, under the id that it had: it may have been taken after all.
REDRIVE = Statement(
    """
    UPDATE alert SET deadat = NULL
    WHERE deadat IS NOT NULL AND (
        alertid = :alertid
        OR messageid = (SELECT messageid FROM alert WHERE alertid = :alertid AND deadat IS NOT NULL)
    ) AND EXISTS (
        SELECT FROM alertchannel WHERE alertchannel.channelid = alert.channelid
    )
    RETURNING channelid
    """
)
RETRY_NOW = Statement("UPDATE alertchannel SET openfrom = :now WHERE channelid = :channelid")
PRUNE = Statement(
    """
    DELETE FROM alert WHERE alertid IN (
        SELECT alertid FROM alert
        WHERE at < :before AND num_nonnulls(sentat, deadat) > 0
          -- Who was told that an issue is open is told when it is over.
          AND NOT EXISTS (
              SELECT FROM jobissue WHERE jobissue.issueid = alert.issueid AND endedat IS NULL
          )
          AND NOT EXISTS (
              SELECT FROM serviceissue WHERE serviceissue.serviceissueid = alert.serviceissueid
          )
        ORDER BY at LIMIT :limit
    )
    """
)


class Holding(NamedTuple):
    """The hold that a replica has on a channel."""

    token: UUID
    holder: str | None
    """Under which name it is connected to the database; None: nobody can tell whether it lives."""
    until: datetime


async def take_channel(
    session: Session, now: datetime, settled: datetime, urgent: datetime, hold: Holding
) -> TakenChannel | None:
    """A channel that is to be told something, for this replica alone; None: there is none.

    Its news are older than `settled`, or one of them is older than `urgent`.
    """
    values = {"settled": settled, "urgent": urgent} | hold._asdict()
    return await session.one_or_none(TAKE_CHANNEL, now=now, nevermore=now + MAX_WAIT, **values)


async def take_alerts(session: Session, now: datetime, channelid: int, limit: int) -> list[WaitingAlert]:
    """What a channel is to be told next, in order: a message that was begun, or a new one."""
    return sorted(await session.all(TAKE_ALERTS, now=now, channelid=channelid, limit=limit))


async def mark_sent(session: Session, now: datetime, alertids: Sequence[int]) -> None:
    """Alerts were sent."""
    await session.all(SENT, now=now, alertids=alertids)


async def mark_failed(
    session: Session, now: datetime, alertids: Sequence[int], error: str, *, is_dead: bool
) -> None:
    """Alerts were not taken; with `is_dead`, they are not tried again."""
    await session.all(FAILED, now=now, alertids=alertids, error=error, is_dead=is_dead)


async def sent_since(session: Session, now: datetime, channelid: int, since: datetime, limit: int) -> int:
    """How many alerts a channel was sent since then, counted up to `limit`."""
    return int(await session.value(SENT_SINCE, now=now, channelid=channelid, since=since, limit=limit))


async def release(session: Session, now: datetime, channelid: int, token: UUID, openfrom: datetime) -> None:
    """Let go of a channel that has taken a message; nothing is sent to it before `openfrom`."""
    await session.all(RELEASE, now=now, channelid=channelid, token=token, openfrom=openfrom)


async def release_failed(
    session: Session, now: datetime, channel: TakenChannel, token: UUID, openfrom: datetime, error: str
) -> datetime | None:
    """Let go of a channel that has not; since when it has failed. None: it is somebody else's."""
    values = {"channelid": channel.channelid, "token": token, "openfrom": openfrom, "error": error}
    since: datetime | None = await session.value(RELEASE_FAILED, now=now, **values)
    return since


async def try_now(session: Session, now: datetime, channelid: int) -> None:
    """Send to a channel at once, although it has failed, or waits for more."""
    await session.all(RETRY_NOW, now=now, channelid=channelid)


async def add_test(session: Session, now: datetime, channelid: int) -> int:
    """Have a channel told that this is a test; the alertid."""
    await try_now(session, now, channelid)
    return int(await session.value(ADD_TEST, now=now, channelid=channelid))


async def oldest(session: Session, now: datetime) -> datetime | None:
    """When the first alert was noticed that waits although its channel takes them; None: none does."""
    found: datetime | None = await session.value(OLDEST, now=now, nevermore=now + MAX_WAIT)
    return found


async def age(session: Session) -> float:
    """Seconds that the oldest alert has been waiting; 0: none is."""
    return float(await session.value(AGE) or 0)


async def redrive(session: Session, now: datetime, alertid: int) -> bool:
    """Try an alert again that was given up, with the others of its message; False: it was not."""
    channelid = await session.value(REDRIVE, alertid=alertid)
    if channelid is not None:
        await try_now(session, now, channelid)
    return channelid is not None


async def give_up_lost(session: Session, now: datetime) -> None:
    """Give up what waits for channels that are gone."""
    await session.all(GIVE_UP, now=now)


async def prune(session: Session, before: datetime, limit: int) -> None:
    """Forget up to `limit` alerts from before then that are over."""
    await session.all(PRUNE, before=before, limit=limit)
