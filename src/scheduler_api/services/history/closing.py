"""Closing days: what ran on them is counted, and compared with the schedules, once and for all.

First a day is closed for rows: what settles from then on is kept under a later day. Jobs follow when the next
day is closed for rows, so that no statement that began before is still adding one. The days of a job whose
occurrences are still to come, as it is paused, are compared later, when these are there.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from math import inf
from time import monotonic
from typing import Any

import structlog

from scheduler_api.database.failures import DATABASE_ERRORS
from scheduler_api.database.runs import parts, tallies
from scheduler_api.database.runs.tallies import Closing
from scheduler_api.database.statements import Session, savepoint
from scheduler_api.errors import ServiceBusy
from scheduler_api.schedule.days import Days, utc_day
from scheduler_api.services.history import checks
from scheduler_api.services.history.invariants import Findings
from scheduler_api.services.history.versions import ScheduleVersions, versions_of

log = structlog.get_logger(__name__)

DAY = timedelta(days=1)
#: Yesterday stays open: most of what is late is of it.
OPEN_DAYS = 1 * DAY
#: Jobs, days of a job, and seconds for one unit of work; of a job with more rows than these, one day.
MAX_JOBS, MAX_DAYS, MAX_SECONDS, MAX_ROWS = 100, 7 * DAY, 0.5, 50_000


async def begin(session: Session, now: datetime) -> bool:
    """Close the days that are over for rows, and begin to close those before them for jobs; whether it did.

    Nothing is done while jobs are still being closed.
    """
    turn = await tallies.try_turn(session)
    today = utc_day(now)
    if turn is None or turn.closing > turn.closedto or turn.openday >= today - OPEN_DAYS:
        return False
    await tallies.open_later(session, today - OPEN_DAYS)
    return True


async def close_some(session: Session, now: datetime) -> bool:
    """Close some jobs; whether more may be left."""
    turn = await tallies.try_turn(session)
    if turn is None or turn.closing <= turn.closedto:
        return False
    give_up = monotonic() + MAX_SECONDS
    jobids = await tallies.jobids(session, turn.closingjob, MAX_JOBS)
    for jobid in jobids:
        if not await _close_or_leave(session, jobid, turn):
            return True
        await tallies.reached(session, jobid)
        if monotonic() > give_up:
            return True
    if not jobids:
        await tallies.close(session)
        log.info("days are closed", up_to=str(turn.closing - DAY), at=now)
    return bool(jobids)


async def _close_or_leave(session: Session, jobid: int, turn: Closing) -> bool:
    """Close days of a job, or leave them open if that fails; whether no more is to be done for it."""
    try:
        async with savepoint(session):
            return await _close(session, jobid, turn.closedto, turn.closing)
    except (ServiceBusy, *DATABASE_ERRORS):
        # Of the moment, not of the job.
        raise
    except Exception:
        log.exception("the days of a job cannot be closed: they stay open", jobid=jobid)
        await tallies.keep_open(session, jobid, (await tallies.frontier(session, jobid)).since)
        return True


async def _close(session: Session, jobid: int, closedto: date, closing: date) -> bool:
    """Close days of a job; whether it is closed as far as it is to be."""
    if not await tallies.hold_job(session, jobid):
        return True
    versions = await versions_of(session, jobid)
    known = await tallies.frontier(session, jobid)
    first = max(known.since, known.horizon)
    begins = max(first, (await parts.held(session)).firstday)
    end = min(closing, begins + MAX_DAYS)
    if end > begins + DAY and await tallies.count_rows(session, jobid, first, end, MAX_ROWS) == MAX_ROWS:
        end = begins + DAY
    compared = end if versions.job.goes_on is None else min(end, max(first, utc_day(versions.job.goes_on)))
    findings = await _findings(session, versions, Days(first, compared)) if compared > first else {}
    if compared < end:
        await tallies.tally(session, jobid, first if compared > first else closedto, closing, findings)
        await tallies.keep_open(session, jobid, compared)
        return True
    await tallies.tally(session, jobid, first, end, findings)
    if end < closing:
        await tallies.keep_open(session, jobid, end)
        return False
    await tallies.not_open(session, jobid)
    return True


async def _findings(
    session: Session, versions: ScheduleVersions, days: Days
) -> Mapping[date, Sequence[Mapping[str, Any]]]:
    """What a check finds on these days, as JSON, by the day."""
    report = Findings(versions.job.jobid, inf)
    await checks.compare(session, versions, days, report)
    found = defaultdict[date, list[dict[str, Any]]](list)
    last = days.end - DAY
    for finding in report.findings:
        day = last if finding.at is None else min(max(utc_day(finding.at), days.first), last)
        found[day].append(finding.model_dump(mode="json"))
    if found:
        log.error("a closed day does not add up", jobid=versions.job.jobid, days=[str(day) for day in found])
    return found
