"""Jobs that are due, and what their past left behind: the same rows for every contestant."""

from typing import Any

#: Long enough that no repetition sees an occurrence missed.
INTERVAL = 7200
#: Occurrences lie in the past hour, and not in the order of the rows: as those of real jobs do.
SPREAD = 3600

JOBS = f"""
    INSERT INTO job (jobname, startdate, starttime, repeat, interval, active, createdat, validfrom)
    SELECT 'job ' || n, current_date, '00:00', true, {INTERVAL}, true, '2020-01-01', '2020-01-01'
    FROM generate_series(1, $1::int) AS n
"""
PROMISES = f"""
    INSERT INTO joblog (jobid, scheduledfor, nextrun)
    SELECT jobid, due, due
    FROM job, LATERAL (SELECT now() - make_interval(secs => jobid * 7919 % {SPREAD})) AS occurrence (due)
    ORDER BY jobid
"""
#: Round after round, as time passes: a job's rows lie far apart, which is what history costs.
VERSIONS = f"""
    INSERT INTO joblog (day, jobid, scheduledfor, startedat, finishedat, status)
    SELECT CAST(ran AT TIME ZONE 'UTC' AS date), jobid, ran, ran, ran, 'finished'
    FROM generate_series($1::int, $2::int) AS round, job,
         LATERAL (SELECT now() - make_interval(secs => round * {INTERVAL} + jobid % {SPREAD})) AS past (ran)
    ORDER BY round DESC, jobid
"""


#: Parts for days that are over, where there are none: a week each, as the service adds them for days to come.
PAST_PARTS = """
    DO $$
    DECLARE first date; name text;
    BEGIN
        WHILE (SELECT firstday FROM history) > {since} LOOP
            UPDATE history SET firstday = firstday - 7 RETURNING firstday INTO first;
            FOREACH name IN ARRAY ARRAY['joblog', 'logattempt', 'logline'] LOOP
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                               name || '_' || to_char(first, 'YYYYMMDD'), name, first, first + 7);
            END LOOP;
        END LOOP;
    END $$
"""
TABLES = "job, joblog, logattempt, logline"


async def add_parts(connection: Any, since: str) -> None:
    """Let history have parts from a day on, which is an expression in SQL."""
    await connection.execute(PAST_PARTS.format(since=since))


async def refill(connection: Any, jobs: int) -> None:
    """Nothing but so many repeating jobs, each of them due once."""
    await connection.execute(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE")
    await connection.execute(JOBS, jobs)
    await connection.execute(PROMISES)
    await settle_down(connection)


async def add_past(connection: Any, first_round: int, last_round: int) -> None:
    """One finished log a job and round; round 1 is the one before the present, as all are in the past."""
    await add_parts(connection, f"current_date - {last_round * INTERVAL // 86400 + 2}")
    await connection.execute(VERSIONS, first_round, last_round)


#: Indexes of what ran when, which know of ranges of blocks.
SUMMARIES = """
    SELECT CAST(CAST(pg_class.oid AS regclass) AS text) FROM pg_class
    JOIN pg_am ON pg_am.oid = pg_class.relam WHERE amname = 'brin' AND relkind = 'i'
"""


async def settle_down(connection: Any) -> None:
    """Let no contestant pay for what came before it."""
    await connection.execute("VACUUM (ANALYZE) job, joblog")
    # Where millions of rows come at once, autovacuum is cancelled in the midst of a summary: see postgres.md.
    for (index,) in await connection.fetch(SUMMARIES):
        await connection.execute(f"REINDEX INDEX {index}")
    await connection.execute("CHECKPOINT")
