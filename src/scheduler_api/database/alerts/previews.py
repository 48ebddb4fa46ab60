"""Statements that tell what a rule is about, and what it would have sent."""

from datetime import datetime
from typing import Any, NamedTuple

from scheduler_api.database.alerts.issues import ISSUE, IssueRow
from scheduler_api.database.alerts.noticing import COVERS, IS_ENOUGH
from scheduler_api.database.statements import Session, Statement


class CoveredRow(NamedTuple):
    """A job that a rule covers."""

    jobid: int
    jobname: str


#: A rule as it is, or would be: the values are given, so that a draft needs no row.
_RULE = """
    (SELECT CAST(:project AS text) AS project, CAST(:tag AS text) AS tag, CAST(:jobid AS bigint) AS jobid,
            CAST(:kinds AS text[]) AS kinds, CAST(:after AS int) AS after, CAST(:outof AS int) AS outof,
            CAST(:reminds AS bool) AS reminds, CAST(:recovers AS bool) AS recovers) AS rule
"""
_COVERED = f"""
    FROM {_RULE} JOIN job ON {COVERS} WHERE job.deletedat IS NULL AND job.removedat IS NULL
"""
COUNT_JOBS = Statement(f"SELECT count(*) FROM (SELECT {_COVERED} LIMIT :limit) AS covered")
SOME_JOBS = Statement(f"SELECT job.jobid, jobname {_COVERED} ORDER BY job.jobid LIMIT :limit", CoveredRow)
# What comes and goes too often is told once, and not for each issue.
_TOLD = f"""
    FROM {_RULE} JOIN jobissue AS told ON told.since > :since AND told.kind = ANY(rule.kinds)
    JOIN job ON job.jobid = told.jobid AND {COVERS} AND job.removedat IS NULL
    WHERE NOT told.flapping AND {IS_ENOUGH.format(until="told.seenat")}
"""
COUNT_ALERTS = Statement(
    f"""
    SELECT CAST(coalesce(sum(
        1 + CASE WHEN rule.reminds THEN told.reminders ELSE 0 END
        + CAST(rule.recovers AND told.endedat IS NOT NULL AS int)
    ), 0) AS bigint)
    {_TOLD}
    """
)
SOME_ISSUES = Statement(
    f"SELECT {ISSUE.format(issue='told')} {_TOLD} ORDER BY told.issueid DESC LIMIT :limit", IssueRow
)


async def count_jobs(session: Session, rule: dict[str, Any], limit: int) -> int:
    """How many jobs a rule covers, up to `limit`."""
    return int(await session.value(COUNT_JOBS, limit=limit, **rule))


async def some_jobs(session: Session, rule: dict[str, Any], limit: int) -> list[CoveredRow]:
    """The first of them."""
    return await session.all(SOME_JOBS, limit=limit, **rule)


async def count_alerts(session: Session, rule: dict[str, Any], since: datetime) -> int:
    """How many alerts it would have sent of issues that began since then."""
    return int(await session.value(COUNT_ALERTS, since=since, **rule))


async def some_issues(session: Session, rule: dict[str, Any], since: datetime, limit: int) -> list[IssueRow]:
    """The newest of these issues."""
    return await session.all(SOME_ISSUES, since=since, limit=limit, **rule)
