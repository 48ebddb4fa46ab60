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
    INSERT INTO joblog (jobid, scheduledfor, lastrun, startedat, finishedat, status)
    SELECT jobid, ran, ran, ran, ran, 'finished'
    FROM generate_series($1::int, $2::int) AS round, job,
         LATERAL (SELECT now() - make_interval(secs => round * {INTERVAL} + jobid % {SPREAD})) AS past (ran)
    ORDER BY round DESC, jobid
"""


async def refill(connection: Any, jobs: int) -> None:
    """Nothing but so many repeating jobs, each of them due once."""
    await connection.execute("TRUNCATE job RESTART IDENTITY CASCADE")
    await connection.execute(JOBS, jobs)
    await connection.execute(PROMISES)
    await settle_down(connection)


async def add_past(connection: Any, first_round: int, last_round: int) -> None:
    """One finished log a job and round; round 1 is the one before the present, as all are in the past."""
    async with connection.transaction():
        # The rows name jobs that were just read, so the foreign key has nothing to find.
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(VERSIONS, first_round, last_round)


async def settle_down(connection: Any) -> None:
    """Let no contestant pay for what came before it."""
    await connection.execute("VACUUM (ANALYZE) job, joblog")
    await connection.execute("CHECKPOINT")
