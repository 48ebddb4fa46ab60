"""Jobs and logs for tests, put into the tables as they would be found there."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from time import monotonic
from typing import Any

from sqlalchemy import func, insert, select, text
from sqlalchemy.engine import URL

from scheduler_api.actors import Actor, ActorKind
from scheduler_api.ciphers import Cipher
from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.database.tables.jobs import job
from scheduler_api.database.tables.runs import PARTITIONED, joblog
from scheduler_api.targets.urls import host_of

#: What connections are called that serve all tests.
KEPT = "all tests"
#: Only in tests of it does a wait for a lock end by itself: how slow the machine is decides nothing else.
PATIENT = {"lock_timeout": "60s"}
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
#: What encrypts their secrets.
CIPHER = Cipher(["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="])
#: Who does what tests ask for.
ACTOR = Actor(ActorKind.LOCAL, "tests, this machine")

TABLES = (
    "alert", "alertmute", "alertrule", "alertchannel", "jobissue", "serviceissue", "logline", "logattempt",
    "joblog", "job", "auditevent", "idempotencykey", "concurrencylimit", "hostfailure", "calendar",
    "projectsecret", "replica", "signintry", "signinattempt", "signinlink", "usersession", "useridentity",
    "useraccount", "apikey", "projectrole",
)  # fmt: skip
#: Where a test left so many bytes, their dead rows would make all that follows slow.
LARGE = 4 * 2**20
#: To delete is far faster than to truncate, which makes new files for every table and index.
EMPTY = (
    f"DO $$ BEGIN IF (SELECT sum(pg_relation_size(oid)) > {LARGE} FROM pg_class WHERE relkind = 'r' AND"
    f" relnamespace = 'public'::regnamespace) THEN TRUNCATE {', '.join(TABLES)} CASCADE; END IF; END $$",
    *(f"DELETE FROM {table}" for table in TABLES),
    "DELETE FROM project WHERE name <> 'default'",
    "UPDATE project SET maxjobs = NULL, maxbody = NULL, maxrequests = NULL, maxstreams = NULL"
    " WHERE num_nonnulls(maxjobs, maxbody, maxrequests, maxstreams) > 0",
    "UPDATE installation SET mark = NULL, writer = NULL, restoredat = NULL, lastknown = NULL,"
    " confirmedat = NULL WHERE restoredat IS NOT NULL",
    *(
        f"SELECT setval('{table}_{key}_seq', 1, false)"
        for table, key in (
            ("job", "jobid"),
            ("joblog", "logid"),
            ("auditevent", "changeid"),
            ("useraccount", "userid"),
            ("apikey", "keyid"),
            ("logline", "lineid"),
            ("jobsecret", "secretid"),
            ("projectsecret", "secretid"),
            ("jobissue", "issueid"),
            ("serviceissue", "serviceissueid"),
            ("alertchannel", "channelid"),
            ("alertrule", "ruleid"),
            ("alertmute", "muteid"),
            ("alert", "alertid"),
        )
    ),
)


def connected(url: URL, kept: int = 4) -> Database:
    """Connections of a test's own."""
    return Database(url, name="tests", pool=PoolOptions(kept, 0, 60.0, PATIENT), statement_timeout=60)


async def empty(database: Database, *, served: bool = False) -> None:
    """Leave no row in any table, and count from 1 again; `served`: a service is at work there meanwhile."""
    # Logs before jobs, as everywhere. Nobody may have prepared a statement and not run it: the driver keeps
    # the locks of that until it does something else.
    statements = ("LOCK TABLE joblog", *EMPTY) if served else EMPTY
    async with database.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        # In one round trip, and one transaction.
        await raw.driver_connection.execute("; ".join(statements))


async def end_others(database: Database, kept: Sequence[int]) -> None:
    """End the connections to the database that do not serve all tests, nor are `kept`, by their processes.

    What a test left behind, such as the last statement of a process that it killed, must not hold rows of
    the next one. Who has left the list of sessions holds no lock; how soon its process goes is the machine's
    business.
    """
    query = text(
        "SELECT pid, state, wait_event_type, wait_event, query, pg_terminate_backend(pid)"
        f" FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        f" AND pid <> pg_backend_pid() AND application_name <> '{KEPT}'"
        " AND NOT (pid = ANY(:kept) AND state = 'idle')"
    )
    give_up = monotonic() + 60
    # Behind a pooler, another transaction might come to a connection that has just been ended.
    async with database.transactional.begin() as connection:
        while left := (await connection.execute(query, {"kept": kept})).all():
            assert monotonic() < give_up, f"sessions of the test before do not end: {left}"
            await asyncio.sleep(0.01)
            await connection.execute(text("SELECT pg_stat_clear_snapshot()"))


async def add_job(database: Database, *, due: datetime | None = NOON, **values: Any) -> int:
    """A job, with its promise at `due`; without `due`, none."""
    values = {
        "jobname": "A job",
        "startdate": date(2030, 1, 31),
        "starttime": time(12),
        "timezone": "UTC",
        "repeat": values.get("interval") is not None,
        "interval": None,
        "misfire": "once",
        "grace": 60,
        "active": True,
        "createdat": LONG_AGO,
        "validfrom": LONG_AGO,
        "kind": "http" if "target" in values else "plain",
        "host": host_of(values["target"]["url"]) if "target" in values else None,
    } | values

    async def work(session: Session, _: datetime) -> int:
        jobid = (await session.execute(insert(job).values(values).returning(job.c.jobid))).scalar_one()
        if due is not None:
            promise = {"jobid": jobid, "scheduledfor": due, "nextrun": due, "kind": values["kind"]}
            promise["host"] = values["host"]
            await session.execute(insert(joblog).values(promise))
        return int(jobid)

    return await database.transact(work)


async def add_due_jobs(database: Database, count: int, *, interval: int | None = 3600) -> None:
    """Many jobs that are due since a second ago, by the database's clock."""

    async def work(session: Session, now: datetime) -> None:
        # The check of the foreign key has a plan, too: one of the time when there was hardly a job reads all
        # of them for each row.
        await session.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
        await session.execute(
            text(
                "WITH j AS (INSERT INTO job"
                " (jobname, startdate, starttime, repeat, interval, active, createdat, validfrom)"
                " SELECT 'Job ' || g, '2030-01-31', '12:00',"
                " CAST(:interval AS int) IS NOT NULL, :interval, true, :due, :due"
                " FROM generate_series(1, :count) AS g RETURNING jobid)"
                " INSERT INTO joblog (jobid, scheduledfor, nextrun) SELECT jobid, :due, :due FROM j"
            ),
            {"count": count, "interval": interval, "due": now - timedelta(seconds=1)},
        )

    await database.transact(work)


async def logs(database: Database, jobid: int) -> list[Any]:
    """The job's logs, in the order of their occurrences; what is not written in most rows is filled in."""
    said = {
        "missed": func.coalesce(joblog.c.missed, 0),
        "lastrun": func.coalesce(joblog.c.lastrun, joblog.c.startedat),
    }
    shown = [said.get(column.name, column).label(column.name) for column in joblog.columns]

    async def look(session: Session) -> list[Any]:
        query = select(*shown).where(joblog.c.jobid == jobid).order_by(joblog.c.scheduledfor)
        return list((await session.execute(query)).all())

    return await database.read(look)


async def is_active(database: Database, jobid: int) -> bool:
    async def look(session: Session) -> bool:
        return bool(await session.scalar(select(job.c.active).where(job.c.jobid == jobid)))

    return await database.read(look)


async def scalar(database: Database, statement: str, **values: Any) -> Any:
    async def look(session: Session) -> Any:
        return await session.scalar(text(statement), values)

    return await database.read(look)


async def rows(database: Database, statement: str, **values: Any) -> list[Any]:
    async def look(session: Session) -> list[Any]:
        return list((await session.execute(text(statement), values)).all())

    return await database.read(look)


async def execute(database: Database, statement: str, **values: Any) -> None:
    async with database.transactional.begin() as connection:
        await connection.execute(text(statement), values)


#: By all that the logs say; in what order runs ended is known by when.
SUM_UP_JOBS = """
    WITH began AS (
        SELECT jobid, max(startedat) AS lastrun, max(runs) FILTER (WHERE cause = 'schedule') AS runs,
               max(finishedat) FILTER (WHERE status = 'finished') AS lastsuccess
        FROM joblog GROUP BY jobid
    ), failing AS (
        SELECT jobid, count(*) AS failures, min(finishedat) AS since
        FROM joblog JOIN began USING (jobid)
        WHERE status = 'failed' AND finishedat > coalesce(began.lastsuccess, '-infinity') GROUP BY jobid
    )
    UPDATE job SET lastrun = began.lastrun, runs = coalesce(began.runs, 0), lastsuccess = began.lastsuccess,
        laststatus = CASE WHEN since IS NOT NULL THEN CAST('failed' AS logstatus)
                          WHEN began.lastsuccess IS NOT NULL THEN 'finished' END,
        failures = coalesce(failing.failures, 0), failingsince = since
    FROM began LEFT JOIN failing USING (jobid) WHERE job.jobid = began.jobid
"""
SUM_UP_LIVE = """
    UPDATE joblog SET lastrun = job.lastrun, laststatus = job.laststatus, failures = job.failures,
                      failingsince = job.failingsince, lastsuccess = job.lastsuccess
    FROM job
    WHERE joblog.jobid = job.jobid AND day = 'infinity'
      AND cause = 'schedule' AND (status = 'pending' AND attempt = 1 OR following IS NOT NULL)
"""


async def sum_up(database: Database) -> None:
    """Let jobs say of their runs what the logs say that a test has put into the table."""
    await execute(database, SUM_UP_JOBS)
    await execute(database, SUM_UP_LIVE)


async def until_it_waits_or_ends(database: Database, task: asyncio.Task[Any]) -> None:
    """Wait until the task ends, or somebody waits for a lock."""
    waits = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    while not task.done() and not await scalar(database, waits):
        await asyncio.sleep(0.002)


async def lay_out_days(database: Database, first: date, days: int) -> None:
    """Let history have a part for each of some days, and none else; nothing is closed."""
    names = await rows(
        database, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(job)?log.*_[0-9]{8}$'"
    )
    statements = [f"DROP TABLE {', '.join(row[0] for row in names)}"] if names else []
    for day in (first + timedelta(days=n) for n in range(days)):
        statements += [
            f"CREATE TABLE {table.name}_{day:%Y%m%d} PARTITION OF {table.name}"
            f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
            for table in PARTITIONED
        ]
    never = ", ".join(f"{name} = '-infinity'" for name in ("openday", "closing", "closedto", "horizon"))
    last = first + timedelta(days=days - 1)
    parts = f"firstday = '{first}', lastday = '{last}', closingjob = 0, leaving = '{{}}'"
    statements += [f"UPDATE history SET {parts}, {never}"]
    async with database.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        await raw.driver_connection.execute("; ".join(statements))
