"""Jobs in every state, and what has become of their runs: for the tests of all pages, and for pictures."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Table, insert

from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.database.tables.access import auditevent
from scheduler_api.database.tables.alerts import alert, alertchannel, alertrule, jobissue
from scheduler_api.database.tables.runs import joblog, logattempt, logline
from tests.factories import add_job, execute, scalar, sum_up

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TIMING = {"dns": 4.1, "connect": 11.8, "tls": 24.6, "firstbyte": 88.2, "total": 131.5}
REFUSED = "503 Service Unavailable: the database of the orders is being moved."
ORDERS = {
    "url": "https://shop.example.com/hooks/orders",
    "headers": {"Authorization": "Bearer x"},
    "retries": 2,
}
REPORT = {
    "url": "https://reports.example.com/nightly",
    "body": {"run": "{{logid}}", "for": "{{scheduledfor}}"},
}
EXPORT = {"url": "https://warehouse.example.com/export", "method": "PUT", "timeout": 120}
#: Jobs and logs, by their ids in an empty database, whose pages show the most.
NIGHTLY, ORDERS_JOB, PAUSED, HEARTBEAT, COMPLETED, EXPORT_JOB, MONITOR = 1, 2, 3, 4, 5, 6, 9
OVERDUE_LOG, RUNNING_LOG, OLD_FAILED_LOG, LATE_LOG, FAILED_LOG = 3, 4, 35, 45, 56


async def fill(database: Database, now: datetime) -> None:
    """Fill empty tables as if the service had run for days until `now`."""
    now = now.replace(second=0, microsecond=0)
    await _jobs(database, now)
    night = [_last_night(now) - n * DAY for n in range(20)]
    await _runs(database, [(now - 9 * DAY, COMPLETED, None)])
    await _runs(database, [(at, NIGHTLY, "reports.example.com") for at in reversed(night)])
    orders = [(now - n * 15 * MINUTE, ORDERS_JOB, "shop.example.com") for n in range(1, 21)]
    beats = [(now - (n + 5) * MINUTE, HEARTBEAT, None) for n in range(1, 21)]
    await _runs(database, sorted([*orders, *beats], key=lambda run: run[:2]))
    await _failures(database, now)
    await _days(database, now)
    await _add(database, auditevent, _changes(now))
    await _alerts(database, now)
    await _monitor(database, now)
    # At the very end: a ticker may look at any time, and then logs get other ids.
    overdue = "UPDATE joblog SET scheduledfor = :due, nextrun = :due WHERE logid = :logid"
    await execute(database, overdue, due=now - 5 * MINUTE, logid=OVERDUE_LOG)


async def stand_still(database: Database, at: datetime) -> None:
    """Let the database's clock show one instant only, on connections made from now on."""
    await execute(database, "CREATE SCHEMA still")
    await execute(
        database,
        "CREATE FUNCTION still.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
        f" AS $$ SELECT CAST('{at.isoformat()}' AS timestamptz) $$",
    )
    name = await scalar(database, "SELECT current_database()")
    await execute(database, f'ALTER DATABASE "{name}" SET search_path = still, pg_catalog, public')


def _last_night(now: datetime) -> datetime:
    """The last time that it was half past two in Berlin."""
    here = datetime.combine(now.astimezone(BERLIN), time(2, 30), BERLIN)
    return here if here <= now else here - DAY


async def _jobs(database: Database, now: datetime) -> None:
    made = {"createdat": now - 30 * DAY, "validfrom": now - 30 * DAY}
    start = {"startdate": (now - 30 * DAY).date(), "starttime": time(now.hour, now.minute)}
    none: dict[str, date | None] = {"startdate": None, "starttime": None}
    nightly = {
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "tags": ["reports", "night"],
        "repeat": True,
    }
    await add_job(
        database,
        jobname="Nightly report",
        due=_last_night(now) + DAY,
        target=REPORT,
        **none,
        **nightly,
        **made,
    )
    orders = {"interval": 900, "target": ORDERS, "autopause": 10, "tags": ["shop"]}
    await add_job(database, jobname="Import of orders", due=now + 15 * MINUTE, **orders, **start, **made)
    paused = {"active": False, "pausedat": now - 2 * HOUR, "pausereason": "The bank changes its interface."}
    await add_job(database, jobname="Bank statements", due=None, interval=3600, **paused, **start, **made)
    await add_job(database, jobname="Heartbeat", due=now + HOUR, interval=60, **start, **made)
    await add_job(database, jobname="Move to the new archive", due=None, active=False, **start, **made)
    export = {"interval": 86_400, "target": EXPORT, "timezone": "America/New_York"}
    await add_job(database, jobname="Export to the warehouse", due=now + HOUR, **export, **start, **made)
    after: dict[str, Any] = {"after": {"jobid": NIGHTLY, "on": "finished"}, "afterjobid": NIGHTLY}
    await add_job(database, jobname="Tell the accountants", due=None, **after, **none, **made)
    closing = {"cron": "0 9 * * MON", "timezone": "America/New_York", "repeat": True, "maxruns": 12}
    here = now.astimezone(NEW_YORK)
    monday = datetime.combine(here + (7 - here.weekday()) * DAY, time(9), NEW_YORK)
    await add_job(
        database, jobname="Weekly closing", due=monday, createdat=now, validfrom=now, **closing, **none
    )


async def _monitor(database: Database, now: datetime) -> None:
    """A job whose runs are made elsewhere, after those whose ids are known."""
    expected = {
        "kind": "monitor",
        "monitor": {"timeout": 7200},
        "monitortoken": UUID(int=7),
        "misfire": "skip",
    }
    start = {"startdate": (now - DAY).date(), "starttime": time(now.hour, now.minute)}
    await add_job(
        database, jobname="Backup of the shop", due=now + HOUR, interval=86_400, grace=1800,
        lateafter=600, createdat=now - DAY, validfrom=now - DAY, **start, **expected,
    )  # fmt: skip


async def _runs(database: Database, runs: Sequence[tuple[datetime, int, str | None]]) -> None:
    """Runs that finished within a second: when, of which job, what they called."""
    taken = timedelta(milliseconds=132)
    rows = [
        {
            "jobid": jobid,
            "kind": "plain" if host is None else "http",
            "host": host,
            "status": "finished",
            "finishedat": at + taken,
        }
        | dict.fromkeys(("scheduledfor", "lastrun", "startedat"), at)
        for at, jobid, host in runs
    ]
    await _add(database, joblog, rows)
    await execute(
        database,
        "INSERT INTO logattempt (logid, jobid, attempt, startedat, finishedat, outcome, httpstatus, replica)"
        " SELECT logid, jobid, 1, startedat, finishedat, 'finished', 200, 'replica-1:71' FROM joblog"
        " WHERE kind = 'http' AND status = 'finished' ON CONFLICT DO NOTHING",
    )


async def _failures(database: Database, now: datetime) -> None:
    """Two imports that failed for good, one that was found too late, an export under way."""
    failed = "UPDATE joblog SET status = 'failed', attempt = 3, error = :error WHERE logid = ANY(:logids)"
    await execute(database, failed, error=REFUSED, logids=[FAILED_LOG, OLD_FAILED_LOG])
    skipped = "status = 'skipped', reason = 'misfire', startedat = NULL, lastrun = NULL"
    await execute(database, f"UPDATE joblog SET {skipped} WHERE logid = :logid", logid=LATE_LOG)
    await execute(
        database, "DELETE FROM logattempt WHERE logid = ANY(:logids)", logids=[FAILED_LOG, LATE_LOG]
    )
    await execute(
        database,
        "UPDATE joblog SET status = 'running', scheduledfor = :at, nextrun = NULL, startedat = :at,"
        " leasetoken = :token, leaseuntil = :until, following = :following WHERE logid = :logid",
        at=now - 12 * MINUTE,
        token=UUID(int=1),
        until=now + DAY,
        following=now + DAY,
        logid=RUNNING_LOG,
    )
    began = [now - 15 * MINUTE + n * timedelta(seconds=20) for n in range(3)]
    call = {"outcome": "failed", "failure": "status", "error": REFUSED, "httpstatus": 503, "timing": TIMING}
    call |= {
        "replica": "replica-2:84",
        "excerpt": '{"error": "moving", "until": "tonight"}',
        "logid": FAILED_LOG,
        "jobid": await _job_of(database, FAILED_LOG),
    }
    await _add(
        database,
        logattempt,
        [call | {"attempt": n, "startedat": at, "finishedat": at} for n, at in enumerate(began, 1)],
    )
    running = {"logid": RUNNING_LOG, "jobid": await _job_of(database, RUNNING_LOG), "attempt": 1}
    going = running | {"startedat": now - 12 * MINUTE, "outcome": "accepted"}
    going |= {"httpstatus": 202, "progress": 40, "message": "3 of 7 tables", "replica": "replica-1:71"}
    await _add(database, logattempt, [going])
    told = [running | {"at": now - n * MINUTE} for n in (11, 7, 2)]
    await _add(database, logline, [row | {"line": f"table {n} is copied"} for n, row in enumerate(told, 1)])
    await sum_up(database)


async def _days(database: Database, now: datetime) -> None:
    """What became of the orders on each day that is closed."""
    await execute(
        database,
        "INSERT INTO jobtally (jobid, day, finished, failed, skipped, missed, p50, p95, rows, accounted,"
        " stopped) SELECT :jobid, CAST(:day AS date) - n, 96 - n % 3, n % 3, CASE WHEN n % 5 = 0"
        " THEN '{\"misfire\": 2, \"overlap\": 1}' ELSE '{}' END::jsonb, n % 2, 130 + n, 900 + 7 * n, 96, 96,"
        " false FROM generate_series(3, 28) AS n",
        jobid=ORDERS_JOB,
        day=now.date(),
    )


async def _alerts(database: Database, now: datetime) -> None:
    """An issue that is open, and one that is over, and who was told of them."""
    jobid = await _job_of(database, FAILED_LOG)
    known = {"jobid": jobid, "logid": FAILED_LOG, "error": "The target did not answer in full within 30 s."}
    known |= {"kind": "failed", "since": now - 3 * HOUR, "seenat": now - HOUR, "times": 3}
    known |= {"firstfor": now - 3 * HOUR, "lastfor": now - HOUR, "endedat": None, "ending": None}
    over = known | {"jobid": NIGHTLY, "kind": "missed", "endedat": now - HOUR, "ending": "recovered"}
    await _add(database, jobissue, [known, over])
    await execute(database, "UPDATE job SET openissues = 1 WHERE jobid = :jobid", jobid=jobid)
    channel = {"kind": "slack", "origin": "https://hooks.slack.com", "ciphertext": b"x", "createdat": now}
    channel |= {"changedat": now, "lastsent": now - HOUR, "failures": 0, "failingsince": None, "error": None}
    broken = {"failures": 3, "failingsince": now - HOUR, "error": "Status 404: no_service"}
    channels = [channel | {"name": "#ops"}, channel | broken | {"name": "#billing"}]
    await _add(database, alertchannel, channels)
    kinds = ["failed", "missed", "silent"]
    rule = {"channelid": 1, "kinds": kinds, "after": 3, "createdat": now, "tag": None}
    await _add(database, alertrule, [rule, rule | {"channelid": 2, "tag": "reports", "after": 1}])
    facts = {"jobname": "Orders", "kind": "failed"}
    told = {"channelid": 1, "issueid": 1, "jobid": jobid, "event": "opened", "at": now - 3 * HOUR}
    told |= {"facts": facts, "messageid": UUID(int=1), "sentat": now - 3 * HOUR, "deadat": None}
    told |= {"error": None, "attempts": 1}
    dead = {"channelid": 2, "sentat": None, "deadat": now - HOUR, "error": "Status 404: no_service"}
    await _add(database, alert, [told, told | dead | {"attempts": 30}])


async def _job_of(database: Database, logid: int) -> int:
    return int(await scalar(database, "SELECT jobid FROM joblog WHERE logid = :logid", logid=logid))


def _changes(now: datetime) -> list[dict[str, Any]]:
    by: dict[str, Any] = {"actor": "local", "client": "127.0.0.1", "before": None, "after": None}
    edit = {"before": {"cron": "0 2 * * *", "tags": []}, "after": {"cron": "30 2 * * *", "tags": ["reports"]}}
    return [
        by | {"jobid": NIGHTLY, "at": now - 30 * DAY, "action": "created"},
        by | {"jobid": NIGHTLY, "at": now - 21 * DAY, "action": "edited"} | edit,
        by | {"jobid": PAUSED, "at": now - 2 * HOUR, "action": "paused"},
    ]


async def _add(database: Database, table: Table, rows: list[dict[str, Any]]) -> None:
    async def work(session: Session, _: datetime) -> None:
        await session.execute(insert(table), rows)

    await database.transact(work)
