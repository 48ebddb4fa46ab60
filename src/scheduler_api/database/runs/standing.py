"""How a job's runs have gone so far: kept at the row that it goes on with, and at the job where it has none.

So lists know of each job's latest run without a look into history. Changes are made under the job's lock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE, LIVE_NEXT_RUN, STANDING

#: All of it.
COLUMNS = ", ".join(STANDING)
#: Of a job's run, whose row is `joblog`, to the job, where the row carries its future no more.
TO_JOB = ", ".join(f"{name} = {{row}}.{name}" for name in STANDING).replace(
    "{row}.failures", "coalesce({row}.failures, 0)"
)
#: After runs have ended: what was, and what they came to (last, fails, succeeds), all columns in scope.
AFTER = """
    coalesce(last, {was}.laststatus) AS newstatus,
    CASE WHEN succeeds THEN 0 ELSE coalesce({was}.failures, 0) END + fails AS newfailures,
    CASE WHEN fails > 0 AND (succeeds OR {was}.failingsince IS NULL) THEN :now
         WHEN fails = 0 AND succeeds THEN NULL ELSE {was}.failingsince END AS newsince,
    CASE WHEN succeeds THEN :now ELSE {was}.lastsuccess END AS newsuccess
"""
#: Sets it to that.
SET_AFTER = (
    "laststatus = newstatus, failures = newfailures, failingsince = newsince, lastsuccess = newsuccess"
)


class Outcome(NamedTuple):
    """What runs of a job that ended together came to."""

    last: str | None
    """How the last of them ended; None: none of them ran."""
    fails: int
    """How many failed after the last one that finished."""
    succeeds: bool
    """Whether one of them finished."""

    def followed_by(self, status: str) -> "Outcome":
        """The same with one more."""
        if status == "finished":
            return SUCCESS
        return Outcome(status, self.fails + 1, self.succeeds)


NOTHING, SUCCESS, FAILURE = Outcome(None, 0, False), Outcome("finished", 0, True), Outcome("failed", 1, False)

# Of runs whose own rows carry nothing.
TELL = Statement(
    f"""
    WITH given AS (
        SELECT * FROM unnest(
            CAST(:jobids AS bigint[]), CAST(:begans AS timestamptz[]), CAST(:lasts AS logstatus[]),
            CAST(:fails AS int[]), CAST(:succeeds AS bool[])
        ) AS given (id, began, last, fails, succeeds)
    ), carried AS (
        UPDATE joblog SET lastrun = greatest(lastrun, began), {SET_AFTER}
        FROM (
            SELECT logid AS carrier, began, {AFTER.format(was="joblog")}
            FROM given JOIN joblog ON jobid = id WHERE {LIVE_NEXT_RUN}
        ) AS came
        WHERE {LIVE} AND logid = carrier
        RETURNING jobid
    )
    UPDATE job SET lastrun = greatest(lastrun, began), {SET_AFTER}
    FROM (
        SELECT id, began, {AFTER.format(was="job")} FROM given JOIN job ON jobid = id
        WHERE id NOT IN (SELECT jobid FROM carried)
    ) AS came
    WHERE jobid = id
    """
)
# Nobody waits for a row that a claim has locked: it may wait for what its job is locked for.
HELD = Statement(
    f"""
    SELECT jobid FROM joblog
    WHERE {LIVE_NEXT_RUN} AND jobid = ANY(:jobids) AND logid NOT IN (
        SELECT logid FROM (
            SELECT logid FROM joblog WHERE {LIVE_NEXT_RUN} AND jobid = ANY(:jobids) FOR UPDATE SKIP LOCKED
        ) AS locked
    )
    """
)
FAILURES = Statement(
    f"""
    SELECT job.jobid, coalesce(next_run.failures, job.failures)
    FROM job LEFT JOIN (SELECT jobid, failures FROM joblog WHERE {LIVE_NEXT_RUN}) AS next_run USING (jobid)
    WHERE job.jobid = ANY(:jobids)
    """
)


async def tell(session: Session, now: datetime, ended: Mapping[int, tuple[datetime, Outcome]]) -> None:
    """Write down what runs of jobs came to, and when the newest of them began, by jobid."""
    jobids = sorted(ended)
    begans = [ended[jobid][0] for jobid in jobids]
    lasts, fails, succeeds = map(list, zip(*(ended[jobid][1] for jobid in jobids), strict=True))
    values = {"jobids": jobids, "begans": begans, "lasts": lasts, "fails": fails, "succeeds": succeeds}
    await session.all(TELL, now=now, **values)


async def held(session: Session, jobids: Sequence[int]) -> set[int]:
    """Lock the rows that jobs go on with; the jobs of those that somebody else holds."""
    return set(await session.values(HELD, jobids=jobids))


async def failures(session: Session, jobids: Sequence[int]) -> dict[int, int]:
    """How many runs of each job have failed in a row."""
    return dict(await session.all(FAILURES, jobids=jobids))
