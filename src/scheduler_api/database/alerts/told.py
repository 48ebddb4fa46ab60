"""Statements that list what channels are to be told, and were."""

from datetime import datetime
from typing import NamedTuple

from scheduler_api.database.statements import Session, Statement


class AlertRow(NamedTuple):
    """An alert, as people are shown it."""

    alertid: int
    channelid: int
    channel: str
    issueid: int | None
    jobid: int | None
    jobname: str | None
    what: str | None
    kind: str | None
    event: str
    at: datetime
    attempts: int
    sentat: datetime | None
    deadat: datetime | None
    error: str | None


LISTED = Statement(
    """
    SELECT alertid, alert.channelid, coalesce(alertchannel.name, 'a removed channel') AS channel,
           issueid, jobid,
           facts ->> 'jobname' AS jobname, facts ->> 'what' AS what, facts ->> 'kind' AS kind, event, at,
           attempts, sentat, deadat, alert.error
    FROM alert LEFT JOIN alertchannel USING (channelid)
    WHERE alertid < :before
      AND (CAST(:channelid AS bigint) IS NULL OR alert.channelid = :channelid)
      AND (CAST(:jobid AS bigint) IS NULL OR jobid = :jobid)
      AND (CAST(:issueid AS bigint) IS NULL OR issueid = :issueid)
      AND CASE CAST(:state AS text) WHEN 'waiting' THEN sentat IS NULL AND deadat IS NULL
          WHEN 'sent' THEN sentat IS NOT NULL WHEN 'dead' THEN deadat IS NOT NULL ELSE true END
    ORDER BY alertid DESC LIMIT :limit
    """,
    AlertRow,
)
IS_THERE = Statement("SELECT alertid FROM alert WHERE alertid = :alertid")


class AlertFilter(NamedTuple):
    """Which alerts; None: whatever it is."""

    channelid: int | None = None
    jobid: int | None = None
    state: str | None = None
    issueid: int | None = None


async def listing(session: Session, wanted: AlertFilter, before: int, limit: int) -> list[AlertRow]:
    """Up to `limit` alerts with an alertid below `before`, the newest first."""
    return await session.all(LISTED, before=before, limit=limit, **wanted._asdict())


async def is_there(session: Session, alertid: int) -> bool:
    """Whether there is such an alert."""
    return await session.value(IS_THERE, alertid=alertid) is not None
