"""What no log of a job may say, whatever happened; and how often the job's schedule has made it run."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE


@dataclass
class TallyRow:
    """The logs of a job that have one fault in common, or none."""

    fault: str | None
    count: int
    first: datetime | None
    logid: int | None
    """The first of them."""
    accounted: int
    """How many account for occurrences."""
    ran: int
    """How many the schedule made run."""
    runs: int
    """The highest number of runs that any of them has."""


# One look at each log. `accounted` are those that account for occurrences, `ran` those that the schedule made
# run: a plain log that could not even be planned, or a call that could not be begun, has failed and did not.
# The logs of the first schema were not counted, and do not say when they began.
TALLY = Statement(
    f"""
    WITH seen AS (
        SELECT log.logid, log.scheduledfor, log.status, log.reason, log.runs, log.cause, log.attempt,
               log.startedat, log.finishedat, log.kind, log.host, sent.outcomes,
               job.deletedat, job.kind AS jobkind, job.host AS jobhost, restored.at AS restoredat
        FROM job JOIN joblog AS log USING (jobid)
        CROSS JOIN (
            SELECT max(at) AS at FROM auditevent WHERE jobid = :jobid AND action = 'restored'
        ) AS restored
        LEFT JOIN LATERAL (
            SELECT array_agg(outcome) AS outcomes FROM logattempt
            WHERE logattempt.logid = log.logid AND logattempt.day = log.day AND log.kind = 'http'
        ) AS sent ON true
        WHERE job.jobid = :jobid AND log.day >= :first AND (log.day < :end OR log.day = :end AND log.{LIVE})
    ), judged AS (
        SELECT *, CASE
            WHEN startedat < scheduledfor AND kind <> 'monitor' THEN 'early'
            WHEN status IN ('finished', 'failed') AND finishedat < startedat THEN 'backwards'
            WHEN status = 'finished' AND startedat IS NULL AND runs > 0 THEN 'unstarted'
            WHEN status = 'finished' AND kind = 'http' AND NOT coalesce('finished' = ANY(outcomes), false)
                THEN 'unsent'
            WHEN status = 'finished' AND kind = 'plain' AND jobkind = 'http' AND cause = 'schedule'
                 AND finishedat > :targeted THEN 'uncalled'
            WHEN status = 'failed' AND 'finished' = ANY(outcomes) THEN 'contradicted'
            WHEN status = 'skipped' AND reason <> 'deleted' AND outcomes IS NOT NULL THEN 'sent'
            WHEN status = 'skipped' AND reason = 'deleted' AND deletedat IS NULL
                 AND finishedat > coalesce(restoredat, '-infinity') THEN 'deleted'
            WHEN status = 'pending' AND attempt = 1 AND host IS DISTINCT FROM jobhost THEN 'elsewhere'
        END AS fault
        FROM seen
    )
    SELECT fault, count(*) AS count, min(scheduledfor) AS first, min(logid) AS logid,
           count(*) FILTER (
               WHERE cause = 'schedule' AND (status <> 'pending' OR attempt > 1) AND scheduledfor >= :since
                 AND NOT (status = 'skipped' AND scheduledfor > coalesce(deletedat, 'infinity'))
           ) AS accounted,
           count(*) FILTER (
               WHERE cause = 'schedule' AND runs > 0
                 AND (status IN ('finished', 'running') OR attempt > 1
                      OR status = 'failed' AND (outcomes IS NOT NULL OR kind = 'monitor'))
           ) AS ran,
           coalesce(max(runs) FILTER (WHERE cause = 'schedule'), 0) AS runs
    FROM judged GROUP BY fault
    """,
    TallyRow,
)


class OfDays(NamedTuple):
    """Which logs are looked at."""

    since: datetime
    """Only the occurrences from then on are to be accounted for."""
    first: date
    end: date
    """The day after the last one; `date.max`: those that are live, too."""


async def tally(session: Session, jobid: int, targeted: datetime, days: OfDays) -> list[TallyRow]:
    """The job's logs of these days by their faults.

    `targeted` is since when the job has the target that it has.
    """
    return await session.all(TALLY, jobid=jobid, targeted=targeted, **days._asdict())
