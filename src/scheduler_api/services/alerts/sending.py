"""The outbox: what a channel is to be told is taken, sent by a worker, and settled; at least once.

A replica holds a channel while it sends, so that messages of a channel come one after the other. A message
has an id that it keeps however often it is tried, by whichever replica: receivers can tell that they have it.
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from scheduler_api.contracts.alerts.channels import ChannelKind
from scheduler_api.database.alerts import issues, noticing, outbox
from scheduler_api.database.alerts.outbox import Holding, TakenChannel, WaitingAlert
from scheduler_api.database.statements import Session
from scheduler_api.services.alerts import mutes
from scheduler_api.targets import backoff
from scheduler_api.wording.alert_formats import ONE_BY_ONE

#: For how long a replica holds a channel, if it lives: longer than any attempt lasts.
HOLD = timedelta(seconds=60)
#: What is noticed together is told together: news wait for a moment in which there are no others, not longer
#: than the second of these.
SETTLED, URGENT = timedelta(seconds=1), timedelta(seconds=3)
#: A channel that was told of more than so many in a minute waits a minute for what is to come.
MANY, MINUTE = 5, timedelta(minutes=1)
#: Alerts of one message.
BATCH = 1000
#: Seconds after the first failure, doubled with each further one, up to the second of these.
BACKOFF, MAX_BACKOFF = 5.0, outbox.MAX_WAIT.total_seconds()
#: How long a channel may fail until what it does not take is given up, and how often it is tried at least: a
#: clock that is ahead must not give it up.
GIVE_UP, MIN_TRIES = timedelta(hours=24), 20
MAX_ERROR = 500
#: How often a message is tried that a channel calls wrong.
MAX_FINAL = 5
#: How many issues are reminded of at once; how many old rows go at once, and after how long.
REMIND, PRUNE, KEPT = 500, 1000, timedelta(days=90)


class Taken(NamedTuple):
    """A message to send: the channel, held under a token, and what it is to be told."""

    channel: TakenChannel
    token: UUID
    at: datetime
    alerts: list[WaitingAlert]

    @property
    def alertids(self) -> list[int]:
        """Which alerts these are."""
        return [alert.alertid for alert in self.alerts]


async def take(session: Session, now: datetime, holder: str | None = None) -> Taken | None:
    """Take the message that has waited longest, as a replica of that name; None: there is none."""
    token = uuid4()
    hold = Holding(token, holder, now + HOLD)
    channel = await outbox.take_channel(session, now, now - SETTLED, now - URGENT, hold)
    if channel is None:
        return None
    limit = 1 if ChannelKind(channel.kind) in ONE_BY_ONE else BATCH
    alerts = await outbox.take_alerts(session, now, channel.channelid, limit)
    return Taken(channel, token, now, alerts)


async def sent(session: Session, now: datetime, taken: Taken) -> None:
    """A channel has taken a message."""
    channel = taken.channel
    await outbox.mark_sent(session, now, taken.alertids)
    openfrom = now
    if ChannelKind(channel.kind) not in ONE_BY_ONE:
        recent = await outbox.sent_since(session, now, channel.channelid, now - MINUTE, MANY + 1)
        openfrom = now + MINUTE if recent > MANY else now
    await outbox.release(session, now, channel.channelid, taken.token, openfrom)


class Rejection(NamedTuple):
    """Why a channel has not taken a message."""

    error: str
    after: float | None = None
    """Seconds that it asks to wait."""
    is_final: bool = False
    """Whether it will not take this message, whatever it takes else."""


async def refused(session: Session, now: datetime, taken: Taken, why: Rejection) -> bool:
    """A channel has not taken a message; whether that is given up."""
    error, after, is_final = why
    pause = backoff.pause(taken.channel.failures + 1, BACKOFF, MAX_BACKOFF, 1.0)
    again = now + timedelta(seconds=max(pause, min(after or 0, MAX_BACKOFF)))
    since = await outbox.release_failed(session, now, taken.channel, taken.token, again, error[:MAX_ERROR])
    newest = taken.alerts[-1]
    # What is news has its day, too, however long the channel has failed before.
    is_old = since is not None and now - since >= GIVE_UP and now - newest.at >= GIVE_UP
    is_dead = (is_old and newest.attempts >= MIN_TRIES) or (is_final and newest.attempts >= MAX_FINAL)
    await outbox.mark_failed(session, now, taken.alertids, error[:MAX_ERROR], is_dead=is_dead)
    return is_dead


async def tend(session: Session, now: datetime) -> None:
    """Remind of issues that have been open for long, and forget what is old."""
    await mutes.move_on(session, now)
    await mutes.go_on_releasing(session, now)
    await noticing.remind(session, now, REMIND)
    await noticing.calm(session, now, REMIND)
    await outbox.give_up_lost(session, now)
    await outbox.prune(session, now - KEPT, PRUNE)
    await issues.prune(session, now - KEPT, PRUNE)
