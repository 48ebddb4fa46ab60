"""Very many jobs with some runs each, in projects, and one with very many runs."""

from typing import Any

from benchmarks.due_jobs import add_parts, settle_down

#: Days of which each job has a log, and seconds between those of the first job, which has very many.
DAYS, PACE = 10, 5
#: Minutes of which all that came due waits for a pass.
WAITING = 40
#: The jobs of each project: half of all, a fiftieth, a hundredth, a few, and those that are paused.
PROJECTS = {
    "retired": "n % 500 = 7",
    "trial": "n / 5 % 2000 = 1000",
    "billing": "n / 5 % 100 = 32",
    "reports": "n / 5 % 50 = 0",
    "platform": "n / 5 % 2 = 1",
}
PROJECT = " ".join(f"WHEN {which} THEN '{name}'" for name, which in PROJECTS.items())

#: A first run for each job, on the first of the days; those of calls, and a zone for every fifth.
FIRSTS = f"""
    CREATE TEMPORARY TABLE first AS
    SELECT n, n % 5 = 0 AS calls, n % 5 = 2 AS zoned,
           CAST(CASE WHEN n % 5 = 0 THEN 'http' ELSE 'plain' END AS runkind) AS kind,
           CASE WHEN n % 5 = 0 THEN 'host-' || n % 1000 || '.example.com' END AS host,
           date_trunc('minute', now())
               - make_interval(days => {DAYS}, mins => {WAITING} - CAST(n * 7919 % 1440 AS int)) AS at
    FROM generate_series(2, $1::bigint) AS n
"""
BIG_JOB = f"""
    INSERT INTO job (jobname, startdate, starttime, repeat, interval, active, createdat, validfrom)
    SELECT 'The one with a past', at AT TIME ZONE 'UTC', at AT TIME ZONE 'UTC', true, {PACE}, true,
           at - interval '1 second', at - interval '1 second'
    FROM (SELECT date_trunc('minute', now()) - $1::int * interval '{PACE} seconds') AS first (at)
"""
BIG_LOGS = f"""
    INSERT INTO joblog (day, jobid, scheduledfor, startedat, finishedat, status, runs)
    SELECT CAST(at AT TIME ZONE 'UTC' AS date), jobid, at, at, at, 'finished', n + 1
    FROM job, generate_series(0, $1::int - 1) AS n,
         LATERAL (SELECT createdat + interval '1 second' + n * interval '{PACE} seconds') AS past (at)
    WHERE jobid = 1
"""
BIG_NEXT = f"""
    INSERT INTO joblog (jobid, scheduledfor, nextrun, runs, lastrun, laststatus, lastsuccess, failures)
    SELECT 1, next, next, $1::int, at, 'finished', at, 0
    FROM (SELECT max(scheduledfor), max(scheduledfor) + interval '{PACE} seconds'
          FROM joblog WHERE jobid = 1) AS latest (at, next)
"""
JOBS = f"""
    INSERT INTO job (jobname, startdate, starttime, timezone, repeat, interval, cron, active, createdat,
                     validfrom, tags, target, kind, host, owner, project)
    SELECT (ARRAY['Nightly report', 'Import', 'Refresh of the cache', 'Billing', 'Backup'])[1 + n % 5]
               || ' for customer ' || n,
           CASE WHEN NOT zoned THEN CAST(at AT TIME ZONE 'UTC' AS date) END,
           CASE WHEN NOT zoned THEN CAST(at AT TIME ZONE 'UTC' AS time) END,
           CASE WHEN zoned THEN 'Europe/Berlin' ELSE 'UTC' END, true, CASE WHEN NOT zoned THEN 86400 END,
           CASE WHEN zoned THEN to_char(at AT TIME ZONE 'Europe/Berlin', 'FMMI FMHH24') || ' * * *' END,
           n % 500 <> 7, at - interval '1 second', at - interval '1 second',
           ARRAY['plan-' || n % 7, 'region-' || n % 100],
           CASE WHEN calls THEN jsonb_build_object('url', 'http://' || host || '/run') END, kind, host,
           'team ' || n % 20,
           CASE {PROJECT} ELSE 'default' END
    FROM first ORDER BY n
"""
#: In the order in which they ended, as time passes. Of the calls a thousandth fails on the last day.
LOGS = """
    INSERT INTO joblog (day, jobid, scheduledfor, startedat, finishedat, status, runs, kind, host, error)
    SELECT CAST(at AT TIME ZONE 'UTC' AS date), n, at, at,
           at + CASE WHEN calls THEN interval '1 second' ELSE '0' END,
           CAST(CASE WHEN failed THEN 'failed' ELSE 'finished' END AS logstatus), $1::int + 1, kind, host,
           CASE WHEN failed THEN 'The target answered 503.' END
    FROM (SELECT n, calls, kind, host, first.at + $1::int * interval '1 day' AS at,
                 $2 AND n % 1000 = 0 AS failed FROM first) AS past
    ORDER BY at, n
"""
ATTEMPTS = """
    INSERT INTO logattempt (day, logid, jobid, startedat, finishedat, attempt, outcome, failure, error,
                            httpstatus, replica)
    SELECT day, logid, jobid, startedat, finishedat, 1, status::text,
           CASE WHEN status = 'failed' THEN 'status' END, error,
           CASE WHEN status = 'failed' THEN 503 ELSE 200 END, 'bench'
    FROM joblog WHERE kind = 'http' AND day < 'infinity'
"""
#: In the order in which the jobs were made: a row stays where it is as its job goes on.
AHEAD = f"""
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host, runs, lastrun, laststatus, failures,
                        failingsince, lastsuccess)
    SELECT jobid, at, at, kind, host, {DAYS}, latest,
           CAST(CASE WHEN failed THEN 'failed' ELSE 'finished' END AS logstatus), CAST(failed AS int),
           CASE WHEN failed THEN latest END, latest - CASE WHEN failed THEN interval '1 day' ELSE '0' END
    FROM (SELECT job.jobid, job.kind, job.host, n % 1000 = 0 AS failed,
                 at + interval '{DAYS} days' AS at, at + interval '{DAYS - 1} days' AS latest
          FROM first JOIN job ON jobid = n WHERE active ORDER BY n) AS promised
"""
#: One in five hundred is paused since before its next run.
PAUSED = f"""
    UPDATE job SET pausedat = now(), pausereason = 'maintenance', resumefrom = at + interval '{DAYS} days',
                   runs = {DAYS}, lastrun = at + interval '{DAYS - 1} days', laststatus = 'finished',
                   lastsuccess = at + interval '{DAYS - 1} days'
    FROM first WHERE jobid = n AND NOT active
"""


async def fill(connection: Any, jobs: int, logs: int) -> None:
    """So many jobs with a log on each of the days, and one with so many logs."""
    await add_parts(connection, f"current_date - {logs * PACE // 86400 + DAYS + 2}")
    await connection.execute(BIG_JOB, logs)
    await connection.execute(BIG_LOGS, logs)
    await connection.execute(BIG_NEXT, logs)
    await connection.execute(FIRSTS, jobs)
    for name in PROJECTS:
        await connection.execute("INSERT INTO project (name, createdat) VALUES ($1, now())", name)
    await connection.execute(JOBS)
    for day in range(DAYS):
        await connection.execute(LOGS, day, day == DAYS - 1)
    await connection.execute(ATTEMPTS)
    await connection.execute(PAUSED)
    await connection.execute(AHEAD)
    await settle_down(connection)
