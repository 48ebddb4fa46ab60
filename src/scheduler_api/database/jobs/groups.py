"""Statements on what many jobs have in common: tags, and what paused them together."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from scheduler_api.database.jobs.definitions import OF_PROJECTS
from scheduler_api.database.statements import Session, Statement


class TagCount(NamedTuple):
    """A tag, and how many jobs have it."""

    tag: str
    jobs: int


class PausedTogether(NamedTuple):
    """Jobs that one order paused, and that still are."""

    pauseid: UUID
    jobs: int
    pausedat: datetime
    pausereason: str | None


TAGS_OF = Statement(
    """
    SELECT tag, count(*) AS jobs FROM job, unnest(tags) AS tag WHERE jobid = ANY(CAST(:jobids AS bigint[]))
    GROUP BY tag ORDER BY count(*) DESC, tag LIMIT :limit
    """,
    TagCount,
)
#: So many jobs that are paused together are counted: a page does not wait for a million.
MOST_PAUSED = 10_000
PAUSED_TOGETHER = Statement(
    f"""
    SELECT pauseid, count(*) AS jobs, min(pausedat) AS pausedat, min(pausereason) AS pausereason FROM (
        SELECT pauseid, pausedat, pausereason FROM job
        WHERE pauseid IS NOT NULL AND pausedat IS NOT NULL AND deletedat IS NULL AND {OF_PROJECTS}
        LIMIT {MOST_PAUSED}
    ) AS paused
    GROUP BY pauseid ORDER BY min(pausedat) DESC, pauseid LIMIT :limit
    """,
    PausedTogether,
)


async def tags_of(session: Session, jobids: Sequence[int], limit: int) -> list[TagCount]:
    """The tags of these jobs, those of most jobs first."""
    return await session.all(TAGS_OF, jobids=jobids, limit=limit) if jobids else []


async def paused_together(
    session: Session, projects: Sequence[str] | None, limit: int
) -> list[PausedTogether]:
    """What orders to many jobs have paused, newest first."""
    return await session.all(PAUSED_TOGETHER, projects=projects, limit=limit)
