"""Statements that list issues of jobs, and acknowledge and forget them."""

import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from scheduler_api.contracts.alerts.issues import JobIssueKind
from scheduler_api.database.plans import joining_few_by_hash
from scheduler_api.database.statements import Session, Statement


class IssueRow(NamedTuple):
    """An issue, and the job that it is of."""

    issueid: int
    jobid: int
    jobname: str
    project: str
    timezone: str
    kind: str
    since: datetime
    seenat: datetime
    times: int
    firstfor: datetime | None
    lastfor: datetime | None
    logid: int | None
    error: str | None
    endedat: datetime | None
    ending: str | None
    ackedby: str | None
    ackedat: datetime | None
    ackeduntil: datetime | None


#: All columns of an issue, and what is said of its job.
ISSUE = """
    issueid, job.jobid, jobname, job.project, job.timezone, {issue}.kind, since, seenat, times, firstfor,
    lastfor, logid, error, endedat, ending, ackedby, ackedat, ackeduntil
"""
_LISTED = f"SELECT {ISSUE.format(issue='jobissue')} FROM jobissue JOIN job ON job.jobid = jobissue.jobid"
_WANTED = """
    (CAST(:kind AS text) IS NULL OR jobissue.kind = :kind)
    AND (CAST(:jobid AS bigint) IS NULL OR jobissue.jobid = :jobid)
    AND (CAST(:projects AS text[]) IS NULL OR job.project = ANY(:projects)) AND job.removedat IS NULL
"""
#: By whether they are open.
LISTINGS = {
    is_open: Statement(
        f"{_LISTED} WHERE endedat IS {'' if is_open else 'NOT'} NULL AND issueid < :before AND {_WANTED}"
        " ORDER BY issueid DESC LIMIT :limit",
        IssueRow,
    )
    for is_open in (True, False)
}
ONE = Statement(f"{_LISTED} WHERE issueid = :issueid", IssueRow)
OF_KINDS = Statement(
    f"""
    {_LISTED} WHERE endedat IS NULL AND jobissue.kind = ANY(:kinds) AND job.deletedat IS NULL
      AND (CAST(:projects AS text[]) IS NULL OR job.project = ANY(:projects))
    ORDER BY issueid DESC LIMIT :limit
    """,
    IssueRow,
)
COUNT_BY_PROJECT = Statement(
    """
    SELECT job.project, count(*) AS open FROM (
        SELECT jobid FROM jobissue WHERE endedat IS NULL LIMIT :limit
    ) AS open CROSS JOIN LATERAL (
        SELECT project, removedat FROM job WHERE job.jobid = open.jobid OFFSET 0
    ) AS job
    WHERE job.removedat IS NULL GROUP BY job.project
    """
)
ACKNOWLEDGE = Statement(
    """
    UPDATE jobissue SET ackedby = :who, ackedat = :now, ackeduntil = :until
    WHERE issueid = :issueid AND endedat IS NULL RETURNING issueid
    """
)
PRUNE = Statement(
    """
    DELETE FROM jobissue WHERE issueid IN (
        SELECT issueid FROM jobissue WHERE endedat < :before ORDER BY endedat LIMIT :limit
    )
    """
)


class IssueFilter(NamedTuple):
    """Which issues; None: whatever it is."""

    kind: str | None = None
    jobid: int | None = None
    projects: Sequence[str] | None = None


async def listing(
    session: Session, wanted: IssueFilter, before: int, limit: int, *, is_open: bool
) -> list[IssueRow]:
    """Up to `limit` issues with an issueid below `before`, the newest first."""
    values = {"before": before, "limit": limit, **wanted._asdict()}
    async with _planned(session, wanted.projects):
        return await session.all(LISTINGS[is_open], **values)


def _planned(
    session: Session, projects: Sequence[str] | None
) -> contextlib.AbstractAsyncContextManager[None]:
    """A plan for issues of some projects, of which few may be."""
    return contextlib.nullcontext() if projects is None else joining_few_by_hash(session)


async def of_kinds(
    session: Session, kinds: Sequence[JobIssueKind], projects: Sequence[str] | None, limit: int
) -> list[IssueRow]:
    """Up to `limit` open issues of these kinds, the newest first."""
    async with _planned(session, projects):
        return await session.all(OF_KINDS, kinds=list(kinds), projects=projects, limit=limit)


async def by_id(session: Session, issueid: int) -> IssueRow | None:
    """The issue."""
    return await session.one_or_none(ONE, issueid=issueid)


async def count_by_project(session: Session, limit: int) -> dict[str, int]:
    """How many issues are open in each project, of `limit` in all."""
    return dict(await session.all(COUNT_BY_PROJECT, limit=limit))


async def acknowledge(
    session: Session, now: datetime, issueid: int, who: str, until: datetime | None
) -> bool:
    """Write down that somebody knows of an open issue; False: it is over."""
    return await session.one_or_none(ACKNOWLEDGE, now=now, issueid=issueid, who=who, until=until) is not None


async def prune(session: Session, before: datetime, limit: int) -> None:
    """Forget up to `limit` issues that were over before then."""
    await session.all(PRUNE, before=before, limit=limit)
