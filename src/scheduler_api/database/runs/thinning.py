"""Statements by which runs go that finished on closed days, of jobs that record failures only."""

from datetime import date
from typing import NamedTuple

from scheduler_api.database.jobs.removal import Gone, with_attempts
from scheduler_api.database.statements import Session, Statement

# Written before any row goes: who reads rows first, and this afterwards, knows which may be missing. A job
# that somebody is removing is left alone.
SET_HORIZONS = Statement(
    """
    WITH closed AS (
        SELECT jobid, reached
        FROM job CROSS JOIN history LEFT JOIN jobopen USING (jobid) LEFT JOIN jobthinned USING (jobid)
             CROSS JOIN LATERAL (SELECT least(coalesce(jobopen.since, closedto), :end)) AS day (reached)
        WHERE record = 'failures' AND removedat IS NULL AND reached > coalesce(jobthinned.since, '-infinity')
    ), kept AS (
        SELECT jobid FROM job WHERE jobid IN (SELECT jobid FROM closed) FOR KEY SHARE SKIP LOCKED
    )
    INSERT INTO jobthinned (jobid, since) SELECT jobid, reached FROM closed JOIN kept USING (jobid)
    ON CONFLICT (jobid) DO UPDATE SET since = excluded.since WHERE jobthinned.since < excluded.since
    RETURNING jobid
    """
)


class DayToThin(NamedTuple):
    """A day of a job that has rows to go."""

    jobid: int
    day: date


NEXT_DAY = Statement(
    """
    SELECT jobid, greatest(goneto, firstday) AS day FROM jobthinned CROSS JOIN history
    WHERE goneto < since AND firstday < since ORDER BY jobid LIMIT 1
    FOR NO KEY UPDATE OF jobthinned SKIP LOCKED
    """,
    DayToThin,
)
# One that stands for others that did not run stays, and so does what somebody asked for.
THIN = Statement(
    with_attempts(
        "day = :day AND cause = 'schedule' AND status = 'finished' AND missed IS NULL"
        # What had no part of its own is under an earlier day: it stays, too.
        " AND scheduledfor < CAST(CAST(:day AS date) + 1 AS timestamp) AT TIME ZONE 'UTC' LIMIT :limit",
        day=":day",
    ),
    Gone,
)
GONE = Statement("UPDATE jobthinned SET goneto = :day WHERE jobid = :jobid")


async def set_horizons(session: Session, end: date) -> int:
    """Let the runs go that finished on closed days before `end`, of all such jobs; of how many."""
    return len(await session.values(SET_HORIZONS, end=end))


async def next_day(session: Session) -> DayToThin | None:
    """A day to go on with, and the turn to do so until the transaction ends; None: nothing is left."""
    return await session.one_or_none(NEXT_DAY)


async def drop_runs(session: Session, turn: DayToThin, limit: int) -> int:
    """Let up to `limit` runs of a job and a day go; how many went."""
    return (await session.one(THIN, jobid=turn.jobid, day=turn.day, limit=limit)).runs


async def dropped_to(session: Session, jobid: int, end: date) -> None:
    """All that is to go of the days before `end` has gone."""
    await session.all(GONE, jobid=jobid, day=end)
