"""Reading the evidence: what the database holds, and what the service says of itself."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.chaos.evidence import (
    Alert,
    Attempt,
    Audit,
    Change,
    Connections,
    Evidence,
    Fault,
    Issue,
    Log,
    Rewrite,
)
from tests.chaos.fleet import Fleet
from tests.chaos.people import People
from tests.chaos.plan import POOLS
from tests.chaos.postgres import Postgres
from tests.chaos.target import Target

#: A verdict is for good: whoever changes or removes one is written down, by the database itself.
WATCH = """
CREATE TABLE chaos_rewrite (logid bigint, was text, became text);
CREATE FUNCTION chaos_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos_rewrite
    SELECT OLD.logid, OLD.status, coalesce(max(CAST(status AS text)), 'gone')
    FROM joblog WHERE logid = OLD.logid
    -- What has moved to another part is as it was.
    HAVING max(status) IS DISTINCT FROM OLD.status;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_rewrite AFTER UPDATE OR DELETE ON joblog
FOR EACH ROW WHEN (OLD.status IN ('finished', 'failed', 'skipped')) EXECUTE FUNCTION chaos_rewrite();
"""
#: What keeps the service from being at rest: work that is overdue, jobs that catch up by one call after the
#: other, runs that nobody ends, jobs that wait.
RESTLESS = """
SELECT (SELECT count(*) FROM joblog WHERE status = 'pending'
        AND nextrun < clock_timestamp() - interval '2 s') AS overdue,
       (SELECT count(*) FROM joblog WHERE status = 'running'
        AND following < clock_timestamp() - interval '2 s') AS behind,
       (SELECT count(*) FROM joblog WHERE status = 'running'
        AND (leaseuntil < clock_timestamp() OR lastrun < clock_timestamp() - interval '5 s')) AS held,
       (SELECT count(*) FROM job WHERE pausedat IS NOT NULL AND deletedat IS NULL) AS paused,
       (SELECT count(*) FROM joblog JOIN job USING (jobid) WHERE status = 'pending' AND cause = 'schedule'
        AND attempt = 1 AND nextrun > clock_timestamp() + make_interval(secs => job.interval + 2)
        AND nextrun > (startdate + starttime) AT TIME ZONE 'UTC') AS asleep,
       (SELECT count(*) FROM job WHERE active AND NOT EXISTS (
        SELECT FROM joblog WHERE joblog.jobid = job.jobid AND cause = 'schedule'
        AND status IN ('pending', 'running'))) AS futureless
"""
PAUSED = "SELECT jobid FROM job WHERE pausedat IS NOT NULL AND deletedat IS NULL ORDER BY jobid"
JOBIDS = "SELECT jobid FROM job WHERE deletedat IS NULL ORDER BY jobid"
CONNECTIONS = """
SELECT count(*) AS open, count(*) FILTER (
    WHERE state LIKE 'idle in transaction%'
    AND (state_change < clock_timestamp() - interval '2 s'
         OR xact_start < clock_timestamp() - interval '10 s')
) AS idle
FROM pg_stat_activity WHERE application_name LIKE 'scheduler-api%'
"""
LOGS = """
SELECT logid, jobid, scheduledfor, status, cause, attempt, coalesce(missed, 0) AS missed, through, nextrun,
       startedat, finishedat, following, host, reason, coalesce(lastrun, startedat) AS lastrun
FROM joblog ORDER BY logid
"""
ATTEMPTS = """
SELECT logid, attempt, startedat, finishedat, outcome, replica, failure, httpstatus FROM logattempt
"""
CHANGES = "SELECT jobid, at, action, before::text, after::text FROM auditevent ORDER BY changeid"
ISSUES = "SELECT issueid, jobid, kind, flapping, endedat FROM jobissue ORDER BY issueid"
#: That a message was held back, or given up as its issue was over, there are no mutes for.
ALERTS = """
SELECT alertid, channelid, issueid, event, at, CAST(messageid AS text) AS messageid, sentat
FROM alert ORDER BY alertid
"""
UNTOLD = "SELECT count(*) AS count FROM alert WHERE sentat IS NULL AND deadat IS NULL"
#: Who holds the rows that are overdue: the transaction that changed one last, if it is under way still.
HOLDERS = """
SELECT logid, jobid, joblog.status, nextrun, leaseuntil, joblog.xmin, joblog.xmax, activity.pid,
       application_name, state, xact_start, state_change, wait_event_type, query
FROM joblog
LEFT JOIN pg_locks AS locks
    ON locktype = 'transactionid' AND transactionid = joblog.xmax AND granted
LEFT JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
WHERE joblog.status = 'pending' AND nextrun < clock_timestamp() - interval '2 s'
   OR joblog.status = 'running' AND leaseuntil < clock_timestamp()
ORDER BY nextrun LIMIT 50
"""
ACTIVITY = """
SELECT pid, application_name, state, backend_start, xact_start, state_change, wait_event_type, wait_event,
       pg_blocking_pids(pid) AS waits_for, query
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY xact_start
"""


async def is_at_rest(postgres: Postgres) -> str | None:
    """What is still to be done; None: nothing."""
    (row,) = await postgres.fetch(RESTLESS)
    return ", ".join(f"{count} {name}" for name, count in row.items() if count) or None


async def holders(postgres: Postgres) -> str:
    """Who keeps what is overdue from going on, and what all connections do."""
    told = []
    for title, query in (("overdue", HOLDERS), ("connections", ACTIVITY)):
        told += [title, *(str(dict(row)) for row in await postgres.fetch(query)), ""]
    return "\n".join(told)


async def paused(postgres: Postgres) -> list[int]:
    """The jobs that are paused."""
    return [row["jobid"] for row in await postgres.fetch(PAUSED)]


async def connections(postgres: Postgres, replicas: int) -> Connections:
    """The service's connections, as the database sees them."""
    (row,) = await postgres.fetch(CONNECTIONS)
    return Connections(replicas * POOLS, row["open"], row["idle"])


async def audits(people: People, jobids: Sequence[int]) -> list[Audit]:
    """What the service itself says of the ledger of each job."""
    found = []
    for jobid in jobids:
        told = (await people.ask("GET", f"/jobs/{jobid}/check", "check")).told
        found.append(Audit(jobid, told.get("clean", False), json.dumps(told.get("findings", told))[:1000]))
    return found


async def jobids(postgres: Postgres) -> list[int]:
    """All jobs that there are."""
    return [row["jobid"] for row in await postgres.fetch(JOBIDS)]


async def untold(postgres: Postgres) -> int:
    """How many alerts wait to be sent: none of them longer than it has to, as nothing is wrong any more."""
    await postgres.fetch("UPDATE alertchannel SET openfrom = '-infinity'")
    (row,) = await postgres.fetch(UNTOLD)
    count: int = row["count"]
    return count


async def channels(postgres: Postgres) -> str:
    """How sending to channels stands, by the database's clock."""
    rows = await postgres.fetch("SELECT clock_timestamp() AS now, alertchannel.* FROM alertchannel")
    return "\n".join(str(dict(row)) for row in rows)


async def clock(postgres: Postgres) -> datetime:
    """The database's clock."""
    (row,) = await postgres.fetch("SELECT clock_timestamp() AS now")
    now: datetime = row["now"]
    return now


async def evidence(
    now: datetime,
    postgres: Postgres,
    people: People,
    target: Target,
    fleet: Fleet,
    audited: Sequence[Audit],
    connected: Connections,
    faults: Sequence[Fault],
) -> Evidence:
    """Everything, once nobody writes any more."""
    return Evidence(
        now=now,
        made=people.made,
        names=[row["jobname"] for row in await postgres.fetch("SELECT jobname FROM job")],
        logs=[Log(*row) for row in await postgres.fetch(LOGS)],
        attempts=[Attempt(*row) for row in await postgres.fetch(ATTEMPTS)],
        changes=[_change(*row) for row in await postgres.fetch(CHANGES)],
        rewrites=[Rewrite(*row) for row in await postgres.fetch("SELECT * FROM chaos_rewrite")],
        requests=target.requests(),
        orders=people.orders,
        audits=audited,
        connections=connected,
        issues=[Issue(*row) for row in await postgres.fetch(ISSUES)],
        channels=[row["channelid"] for row in await postgres.fetch("SELECT channelid FROM alertchannel")],
        alerts=[Alert(*row) for row in await postgres.fetch(ALERTS)],
        messages=target.messages(),
        deaths=fleet.deaths,
        faults=faults,
    )


def _change(jobid: int, at: datetime, action: str, before: str | None, after: str | None) -> Change:
    parsed: list[dict[str, Any]] = [json.loads(text) if text else {} for text in (before, after)]
    return Change(jobid, at, action, *parsed)


def recoveries(evidence: Evidence, kills: Sequence[tuple[datetime, str]]) -> list[timedelta]:
    """How long each call of a killed replica was left alone, until it was made again or given up."""
    started = {(attempt.logid, attempt.attempt): attempt.startedat for attempt in evidence.attempts}
    ends = {log.logid: log.finishedat for log in evidence.logs}
    died = {replica: at for at, replica in kills}
    found = []
    for attempt in evidence.attempts:
        at = died.get(attempt.replica)
        if at is None or attempt.outcome != "lost" or attempt.startedat > at:
            continue
        end = started.get((attempt.logid, attempt.attempt + 1)) or ends[attempt.logid]
        if end is not None and end > at:
            found.append(end - at)
    return found
