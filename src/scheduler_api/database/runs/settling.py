"""The statements that write what became of logs: those of live rows, and those of occurrences that have none.

A result is inserted once, into history, and not changed there. The live row goes on as the job's next run,
where there is one, under an id of its own; otherwise it goes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from scheduler_api.database.arrays import as_arrays
from scheduler_api.database.plans import planned_for
from scheduler_api.database.runs.days import day_of
from scheduler_api.database.runs.results import Acceptance, AttemptEnd, Result, Skipped
from scheduler_api.database.runs.standing import AFTER, NOTHING, SET_AFTER, SUCCESS, Outcome
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import IS_NEXT_RUN, LINE, LIVE

#: The last occurrence that an ended row tells of.
_LAST = "coalesce(CASE WHEN stands IS NULL THEN through ELSE reaches END, scheduledfor)"
#: Whether an occurrence that is `next` is later than all that have a row.
IS_LAST = "next > coalesce(ahead, '-infinity')"
#: Whether it has no row yet: it is looked for only where later ones have rows.
IS_FREE = f"""(
    {IS_LAST} OR NOT EXISTS (
        SELECT FROM joblog AS known
        WHERE known.jobid = {{jobid}} AND known.cause = 'schedule' AND known.scheduledfor = next
    )
)"""
# What nothing is said of is as with most runs: it is over as it begins, has finished, and stands for itself.
_RESULTS = """
    SELECT id, coalesce(outcome, 'finished') AS outcome, why, excuse, coalesce(begins, true) AS begins,
           CASE WHEN begins IS NULL THEN coalesce(stands, 0) ELSE stands END AS stands, reaches, next, try,
           CASE WHEN succeeds IS NULL THEN 'finished' ELSE last END AS last, coalesce(fails, 0) AS fails,
           coalesce(succeeds, true) AS succeeds
    FROM unnest(
        CAST(:logids AS bigint[]), CAST(:statuses AS logstatus[]), CAST(:errors AS text[]),
        CAST(:reasons AS text[]), CAST(:begins AS bool[]), CAST(:misses AS bigint[]),
        CAST(:throughs AS timestamptz[]), CAST(:nexts AS timestamptz[]), CAST(:tries AS timestamptz[]),
        CAST(:lasts AS logstatus[]), CAST(:fails AS int[]), CAST(:succeeds AS bool[])
    ) AS given (id, outcome, why, excuse, begins, stands, reaches, next, try, last, fails, succeeds)
"""
#: The ends of attempts, by log and attempt.
_ENDS = """
    unnest(
        CAST(:called AS bigint[]), CAST(:attempts AS int[]), CAST(:outcomes AS text[]),
        CAST(:failures AS text[]), CAST(:causes AS text[]), CAST(:httpstatuses AS int[]),
        CAST(:timings AS jsonb[]), CAST(:excerpts AS text[])
    ) AS answer (logid, attempt, outcome, failure, error, httpstatus, timing, excerpt)
"""


def _ended(is_free: str) -> str:
    """SQL: rows that carry a job's future go on in place, if that holds for their next occurrence."""
    return f"""
    ended AS MATERIALIZED (
        SELECT joblog.*, result.*, {day_of(_LAST)} AS kept,
               CASE WHEN begins THEN :now ELSE lastrun END AS ran,
               -- A plain run begins as it ends.
               CASE WHEN begins THEN :now ELSE startedat END AS began,
               runs + CAST(begins AND outcome = 'finished' AND cause = 'schedule' AS int) AS count,
               CASE WHEN next IS NOT NULL THEN {is_free} END AS goes_on,
               {IS_NEXT_RUN} AS carries, {AFTER.format(was="joblog")}
        FROM ({_RESULTS}) AS result JOIN joblog ON logid = id
        WHERE {LIVE} AND status IN ('pending', 'running')
    ), settled AS (
        INSERT INTO joblog (
            day, logid, jobid, scheduledfor, lastrun, startedat, finishedat, missed, through, parentlogid,
            status, cause, kind, runs, attempt, spent, host, reason, error, body
        ) OVERRIDING SYSTEM VALUE
        SELECT kept, logid, jobid, scheduledfor, nullif(ran, began), began, :now,
               nullif(coalesce(stands, missed), 0), CASE WHEN stands IS NULL THEN through ELSE reaches END,
               parentlogid, outcome, cause, kind, count, attempt, spent, host, excuse, why, body
        FROM ended
    ), gone AS (
        DELETE FROM joblog USING ended
        WHERE joblog.{LIVE} AND joblog.logid = ended.logid AND ended.goes_on IS NOT true
    ), next_run AS (
        UPDATE joblog SET
            logid = DEFAULT, scheduledfor = next, nextrun = coalesce(try, next), lastrun = ran, runs = count,
            laststatus = newstatus, failures = newfailures, failingsince = newsince, lastsuccess = newsuccess,
            status = 'pending', attempt = 1, spent = 0, missed = NULL, through = NULL, startedat = NULL,
            following = NULL, ahead = CASE WHEN ended.ahead > next THEN ended.ahead END,
            leasetoken = NULL, leaseuntil = NULL, acceptedat = NULL, body = NULL,
            -- What its job does may have changed while a call was made.
            kind = CASE WHEN ended.status = 'pending' AND ended.attempt = 1 THEN joblog.kind
                        ELSE (SELECT job.kind FROM job WHERE job.jobid = joblog.jobid) END,
            host = CASE WHEN ended.status = 'pending' AND ended.attempt = 1 THEN joblog.host
                        ELSE (SELECT job.host FROM job WHERE job.jobid = joblog.jobid) END
        FROM ended WHERE joblog.{LIVE} AND joblog.logid = ended.logid AND goes_on
    ), left_to_job AS (
        UPDATE job SET lastrun = ran, runs = count, {SET_AFTER}
        FROM ended WHERE job.jobid = ended.jobid AND carries AND goes_on IS NOT true
          -- Where nothing is compared in loops, all jobs would be read for these.
          AND job.jobid = ANY(ARRAY(SELECT jobid FROM ended WHERE carries AND goes_on IS NOT true))
    )
"""


_CONFLICTS = "SELECT jobid FROM ended WHERE goes_on = false"
_MOVED_ATTEMPTS = f"""
    sent AS (
        DELETE FROM logattempt USING ended
        WHERE logattempt.{LIVE} AND logattempt.logid = ended.logid RETURNING logattempt.*, kept
    ), written AS (
        INSERT INTO logattempt (
            day, logid, jobid, attempt, startedat, finishedat, outcome, failure, error, httpstatus, timing,
            excerpt, progress, message, replica
        )
        SELECT kept, logid, jobid, attempt, startedat,
               CASE WHEN answer.outcome IS NULL THEN finishedat ELSE :now END,
               coalesce(answer.outcome, sent.outcome), coalesce(answer.failure, sent.failure),
               coalesce(answer.error, sent.error), coalesce(answer.httpstatus, sent.httpstatus),
               coalesce(answer.timing, sent.timing), coalesce(answer.excerpt, sent.excerpt),
               progress, message, replica
        FROM sent LEFT JOIN {_ENDS} USING (logid, attempt)
    ), said AS (
        DELETE FROM logline USING ended
        WHERE logline.{LIVE} AND logline.logid = ended.logid RETURNING logline.*, kept
    ), lines AS (
        INSERT INTO logline (day, {LINE}) OVERRIDING SYSTEM VALUE SELECT kept, {LINE} FROM said
    )
"""
# Of runs that made no attempt, and those of others with their attempts and their lines; gives the jobs whose
# next occurrence has a row already. To look for that in all parts of history takes longer to plan than all
# else, so that only those look for whom a row may be there.
SETTLED = Statement(f"WITH {_ended(IS_LAST)} {_CONFLICTS}")
SETTLED_CALLS = Statement(f"WITH {_ended(IS_LAST)}, {_MOVED_ATTEMPTS} {_CONFLICTS}")
_LOOKING = _ended(IS_FREE.format(jobid="joblog.jobid"))
SETTLED_LOOKING = Statement(f"WITH {_LOOKING} {_CONFLICTS}")
SETTLED_CALLS_LOOKING = Statement(f"WITH {_LOOKING}, {_MOVED_ATTEMPTS} {_CONFLICTS}")
TRIED_AGAIN = Statement(
    f"""
    WITH again AS (
        UPDATE joblog SET
            status = 'pending', nextrun = retry, leasetoken = NULL, leaseuntil = NULL, acceptedat = NULL,
            attempt = attempt + 1,
            -- What was handed back was never made: it counts as no attempt, and begins no time to retry for.
            spent = spent + CAST(released AS int),
            startedat = CASE WHEN released AND attempt = spent + 1 THEN NULL ELSE startedat END,
            -- The next attempt goes to where the target is now, and counts there.
            host = coalesce((SELECT job.host FROM job WHERE job.jobid = joblog.jobid), host)
        FROM unnest(CAST(:logids AS bigint[]), CAST(:retries AS timestamptz[]), CAST(:releases AS bool[]))
             AS result (id, retry, released)
        WHERE {LIVE} AND logid = id AND status IN ('pending', 'running')
    )
    UPDATE logattempt SET
        outcome = answer.outcome, failure = answer.failure, error = answer.error, finishedat = :now,
        httpstatus = coalesce(answer.httpstatus, logattempt.httpstatus),
        timing = coalesce(answer.timing, logattempt.timing),
        excerpt = coalesce(answer.excerpt, logattempt.excerpt)
    FROM {_ENDS}
    WHERE logattempt.{LIVE} AND logattempt.logid = answer.logid AND logattempt.attempt = answer.attempt
    """
)
# What is settled ahead of its time stays live: an edit may forget it. Occurrences that have a row keep it, in
# whatever part that is.
WRITTEN_OFF = Statement(
    f"""
    WITH given AS (
        SELECT *, CAST(CASE WHEN parent = 0 THEN 'schedule' ELSE 'after' END AS logcause) AS why
        FROM unnest(
            CAST(:jobids AS bigint[]), CAST(:firsts AS timestamptz[]), CAST(:reasons AS text[]),
            CAST(:misses AS bigint[]), CAST(:throughs AS timestamptz[]), CAST(:lastruns AS timestamptz[]),
            CAST(:runs AS int[]), CAST(:parents AS bigint[])
        ) AS given (jobid, first, reason, missed, through, lastrun, runs, parent)
    ), added AS (
        INSERT INTO joblog (day, jobid, scheduledfor, status, cause, reason, missed, through, finishedat,
                            lastrun, runs, parentlogid)
        SELECT CASE WHEN coalesce(through, first) > :now THEN 'infinity'
                    ELSE {day_of("coalesce(through, first)")} END,
               jobid, first, 'skipped', why, reason, nullif(missed, 0), through, :now, lastrun, runs, parent
        FROM given
        WHERE NOT EXISTS (
            SELECT FROM joblog AS known
            WHERE known.jobid = given.jobid AND known.scheduledfor = first AND known.parentlogid = parent
              AND known.cause = why
        )
        ON CONFLICT DO NOTHING
        RETURNING jobid, scheduledfor
    )
    SELECT jobid, first FROM given WHERE (jobid, first) NOT IN (SELECT jobid, scheduledfor FROM added)
    """
)
# The target goes on by itself: the run lasts, and only the answer is written.
ACCEPTED = Statement(
    f"""
    WITH accepted AS (
        SELECT * FROM unnest(
            CAST(:logids AS bigint[]), CAST(:attempts AS int[]), CAST(:untils AS timestamptz[]),
            CAST(:httpstatuses AS int[]), CAST(:timings AS jsonb[]), CAST(:excerpts AS text[])
        ) AS accepted (logid, attempt, until, httpstatus, timing, excerpt)
    ), leased AS (
        UPDATE joblog SET acceptedat = :now, leaseuntil = greatest(leaseuntil, accepted.until)
        FROM accepted WHERE joblog.{LIVE} AND joblog.logid = accepted.logid
    )
    UPDATE logattempt SET outcome = 'accepted', httpstatus = accepted.httpstatus,
                          timing = accepted.timing, excerpt = accepted.excerpt
    FROM accepted
    WHERE logattempt.{LIVE} AND logattempt.logid = accepted.logid AND logattempt.attempt = accepted.attempt
    """
)


NO_OUTCOMES: Mapping[int, Outcome] = {}
#: Of an outcome that is as most are: a success.
UNSAID = (None, None, None)


async def ran(
    session: Session,
    now: datetime,
    results: Sequence[Result],
    ends: Sequence[AttemptEnd] = (),
    outcomes: Mapping[int, Outcome] = NO_OUTCOMES,
    *,
    looking: bool = True,
) -> list[int]:
    """Write the results of logs that are locked, the ends of their attempts, and the next rows.

    `outcomes` are what the runs of a job came to, by the log that carries its future. Gives back the jobs
    whose next occurrence has a row already; if not `looking`, those for which it would have to be looked for.
    """
    again = [result for result in results if result.status == "pending"]
    if again:
        logids = {result.logid for result in again}
        rows = [(result.logid, result.retry, result.released) for result in again]
        values = as_arrays(("logids", "retries", "releases"), rows)
        own = as_arrays(_ENDS_OF, [end for end in ends if end.logid in logids])
        async with planned_for(session, len(again), "joblog_live"):
            await session.all(TRIED_AGAIN, now=now, **values, **own)
        ends = [end for end in ends if end.logid not in logids]
    over = [
        _settled(result, outcomes.get(result.logid, NOTHING))
        for result in results
        if result.status != "pending"
    ]
    return await _settle(session, now, over, ends, looking=looking)


def _settled(result: Result, outcome: Outcome) -> "_Settled":
    status, missed = result.status, result.missed
    begins = missed is not None
    return _Settled(
        result.logid,
        None if status == "finished" else status,
        result.error,
        None,
        None if begins else False,
        missed or None,
        result.through,
        result.next,
        result.tried,
        *(UNSAID if outcome == SUCCESS else outcome),
    )


async def skip(
    session: Session, now: datetime, rows: Sequence[Skipped], *, looking: bool = True
) -> tuple[list[int], set[tuple[int, datetime]]]:
    """Let pending logs not run, and write logs of occurrences that have none.

    Gives back the jobs whose next occurrence has a row already (see `ran`), and the (jobid, first) of those
    that met a row of their first occurrence.
    """
    over = [
        _Settled(
            row.logid,
            row.status,
            None,
            row.reason,
            False,
            row.missed,
            row.through,
            row.next,
            row.tried,
            *NOTHING,
        )
        for row in rows
        if row.logid is not None
    ]
    conflicts = await _settle(session, now, over, (), looking=looking)
    beside = [row._replace(missed=row.missed or 0) for row in rows if row.logid is None]
    met: set[tuple[int, datetime]] = set()
    if beside:
        names = ("jobids", "firsts", "reasons", "misses", "throughs", "lastruns", "runs", "parents")
        met = {tuple(row) for row in await session.all(WRITTEN_OFF, now=now, **as_arrays(names, beside))}
    return conflicts, met


class _Settled(NamedTuple):
    """A live row that is over; None as `_RESULTS` says."""

    logid: int
    status: str | None
    error: str | None
    reason: str | None
    begins: bool | None
    """Whether it runs only now."""
    missed: int | None
    through: datetime | None
    next: datetime | None
    tried: datetime | None
    last: str | None
    fails: int | None
    succeeds: bool | None


async def _settle(
    session: Session, now: datetime, over: Sequence[_Settled], ends: Sequence[AttemptEnd], *, looking: bool
) -> list[int]:
    if not over:
        return []
    names = (
        "logids", "statuses", "errors", "reasons", "begins", "misses", "throughs", "nexts", "tries",
        "lasts", "fails", "succeeds",
    )  # fmt: skip
    rows = as_arrays(names, over)
    async with planned_for(session, len(over), "joblog_live"):
        # What begins only now made no attempt.
        if not rows["begins"]:
            return await session.values(SETTLED_LOOKING if looking else SETTLED, now=now, **rows)
        statement = SETTLED_CALLS_LOOKING if looking else SETTLED_CALLS
        return await session.values(statement, now=now, **rows, **as_arrays(_ENDS_OF, ends))


async def accept(session: Session, now: datetime, acceptances: Sequence[Acceptance]) -> None:
    """Leave running logs, which are locked, to their targets."""
    names = ("logids", "attempts", "untils", "httpstatuses", "timings", "excerpts")
    async with planned_for(session, len(acceptances), "logattempt_live"):
        await session.all(ACCEPTED, now=now, **as_arrays(names, acceptances))


_ENDS_OF = (
    "called", "attempts", "outcomes", "failures", "causes", "httpstatuses", "timings", "excerpts",
)  # fmt: skip
