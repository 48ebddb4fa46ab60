"""Statements on the history of jobs: who changed what, and when."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from scheduler_api.database.statements import Session, Statement

RECORD = Statement(
    """
    INSERT INTO jobchange (jobid, at, action, client, before, after)
    VALUES (:jobid, :at, :action, :client, CAST(:before AS jsonb), CAST(:after AS jsonb))
    """
)
NEWEST = Statement(
    """
    SELECT changeid, jobid, at, action, client, before, after FROM jobchange
    WHERE jobid = :jobid AND changeid < :before ORDER BY changeid DESC LIMIT :limit
    """
)
#: Those that matter for what was expected of the job, oldest first.
OF_SCHEDULE = Statement(
    """
    SELECT at, action, client, before, after FROM jobchange
    WHERE jobid = :jobid AND action IN ('edited', 'paused', 'resumed', 'deleted') ORDER BY changeid
    """
)

#: Before what a repair let the job go on with, all is accounted for.
REPAIRED = Statement(
    """
    SELECT least(at, CAST(after ->> 'nextrun' AS timestamptz)) FROM jobchange
    WHERE jobid = :jobid AND action = 'repaired' ORDER BY changeid DESC LIMIT 1
    """
)


async def record(
    session: Session,
    now: datetime,
    jobid: int,
    action: str,
    client: str | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write down a change: what it changed, as it was and as it is; values that JSON can hold."""
    await session.all(
        RECORD,
        jobid=jobid,
        at=now,
        action=action,
        client=client,
        before=None if before is None else json.dumps(before),
        after=None if after is None else json.dumps(after),
    )


async def newest(session: Session, jobid: int, before: int, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` changes of the job with a changeid below `before`, newest first."""
    return [dict(row) for row in await session.all(NEWEST, jobid=jobid, before=before, limit=limit)]


async def of_schedule(session: Session, jobid: int) -> list[dict[str, Any]]:
    """The edits, pauses, resumptions and the deletion of the job, oldest first."""
    return [dict(row) for row in await session.all(OF_SCHEDULE, jobid=jobid)]


async def repaired(session: Session, jobid: int) -> datetime | None:
    """The first instant that the job's newest repair left open; None: it has had none."""
    row = await session.one_or_none(REPAIRED, jobid=jobid)
    found: datetime | None = row and row[0]
    return found
