"""Statements on issues of the service itself, each with what channels are to be told of it.

An issue is open from when a replica finds it until none has found it for a while. It has a row meanwhile;
what was told of it stays with the alerts.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_api.contracts.alerts.issues import ServiceIssueKind
from scheduler_api.database.alerts.mutes import HOLD_SERVICE as HOLD
from scheduler_api.database.alerts.noticing import REMIND_AGAIN, REMIND_FIRST
from scheduler_api.database.statements import Session, Statement

#: An issue is over that no replica has found for so long. That bounds how often one can come and go.
CALM_AFTER = timedelta(minutes=10)
#: What an alert says of an issue, whose columns are `told`.
_FACTS = """
    jsonb_build_object(
        'kind', told.kind, 'what', told.what, 'why', told.why, 'action', told.action, 'since', told.since,
        'seenat', told.seenat
    )
"""
# A channel is told of an issue once, and never of what is wrong with itself. What was added to channels and
# rules since is told, too.
NOTICE = Statement(
    f"""
    WITH told AS (
        INSERT INTO serviceissue AS known (kind, subject, since, seenat, what, why, action, remindat)
        SELECT kind, subject, since, :now, what, why, action, :remindat FROM unnest(
            CAST(:kinds AS text[]), CAST(:subjects AS text[]), CAST(:sinces AS timestamptz[]),
            CAST(:whats AS text[]), CAST(:whys AS text[]), CAST(:actions AS text[])
        ) AS given (kind, subject, since, what, why, action)
        ORDER BY kind, subject
        ON CONFLICT (kind, subject) DO UPDATE SET
            seenat = excluded.seenat, what = excluded.what, why = excluded.why, action = excluded.action
        RETURNING known.*
    )
    INSERT INTO alert (channelid, ruleid, serviceissueid, event, at, facts, holduntil)
    SELECT DISTINCT ON (told.serviceissueid, rule.channelid)
           rule.channelid, rule.ruleid, told.serviceissueid, 'opened', :now, {_FACTS}, {HOLD}
    FROM told JOIN alertrule AS rule ON rule.service
    WHERE NOT (told.kind = 'channel' AND told.subject = CAST(rule.channelid AS text)) AND NOT EXISTS (
        SELECT FROM alert WHERE alert.serviceissueid = told.serviceissueid
          AND alert.channelid = rule.channelid AND alert.event = 'opened'
    )
    ORDER BY told.serviceissueid, rule.channelid, rule.ruleid
    ON CONFLICT DO NOTHING
    """
)
#: Those who were told that an issue is open.
_TOLD = "alert AS opened ON opened.serviceissueid = told.serviceissueid AND opened.event = 'opened'"
# What a clock that was ahead has seen is not seen for ever.
END = Statement(
    f"""
    WITH told AS (
        DELETE FROM serviceissue WHERE seenat <= :calm OR seenat > :nevermore RETURNING *
    ), untold AS (
        UPDATE alert SET deadat = :now, error = 'It was over before the mute ended.' FROM told
        WHERE alert.serviceissueid = told.serviceissueid AND sentat IS NULL AND deadat IS NULL
          AND holduntil > :now
    )
    INSERT INTO alert (channelid, ruleid, serviceissueid, event, at, facts, holduntil)
    SELECT opened.channelid, opened.ruleid, told.serviceissueid, 'ended', :now, {_FACTS}, {HOLD}
    FROM told JOIN {_TOLD} LEFT JOIN alertrule AS rule USING (ruleid)
    WHERE coalesce(rule.recovers, true)
      AND NOT (opened.sentat IS NULL AND opened.deadat IS NULL AND coalesce(opened.holduntil > :now, false))
    ON CONFLICT DO NOTHING
    """
)
# A transaction that began a moment after this one may have reminded of it.
REMIND = Statement(
    f"""
    WITH told AS (
        UPDATE serviceissue SET remindat = :again, reminders = reminders + 1
        WHERE remindat <= :now OR remindat > CAST(:again AS timestamptz) + interval '1 minute' RETURNING *
    )
    INSERT INTO alert (channelid, ruleid, serviceissueid, event, number, at, facts, holduntil)
    SELECT opened.channelid, opened.ruleid, told.serviceissueid, 'reminder', told.reminders, :now,
           {_FACTS}, {HOLD}
    FROM told JOIN {_TOLD} JOIN alertrule AS rule USING (ruleid) WHERE rule.reminds
    ON CONFLICT DO NOTHING
    """
)


class ServiceIssueFound(NamedTuple):
    """Something that is wrong with the service itself."""

    kind: ServiceIssueKind
    subject: str
    """What tells it from others of its kind; it stays the same, unlike what is said of it."""
    since: datetime
    what: str
    why: str | None
    action: str


async def open_or_extend(session: Session, now: datetime, found: Sequence[ServiceIssueFound]) -> None:
    """Write down what is wrong, each kind and subject once, and who is to be told."""
    values = {
        "kinds": [one.kind for one in found],
        "subjects": [one.subject for one in found],
        "sinces": [one.since for one in found],
        "whats": [one.what for one in found],
        "whys": [one.why for one in found],
        "actions": [one.action for one in found],
    }
    await session.all(NOTICE, now=now, remindat=now + REMIND_FIRST, **values)


async def tend(session: Session, now: datetime) -> None:
    """End what was not found for a while, and remind of what goes on, whoever was told of it."""
    await session.all(END, now=now, calm=now - CALM_AFTER, nevermore=now + CALM_AFTER)
    await session.all(REMIND, now=now, again=now + REMIND_AGAIN)
