"""Jobs in the order of their next runs: those that come next are looked at until enough of them fit."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from scheduler_api.database.jobs.definitions import BEGUN, IS_OF, ITS_JOB
from scheduler_api.database.plans import planned_anew
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.runs import LIVE

#: Next runs by when they are tried: calls have an index of their own, and so has all else.
_DUE = "status = 'pending' AND kind {which} 'http' AND cause = 'schedule' AND attempt = 1"
#: Next runs in the order of their time, by an index or of few rows each: when, and which.
IN_TURN = (
    *(("nextrun", f"{_DUE.format(which=which)} AND following IS NULL") for which in ("<>", "=")),
    *(("following", f"status = '{status}' AND following IS NOT NULL") for status in ("running", "pending")),
)
#: Next runs that are looked at first, and how many times as many with a further look: at least, and at most.
FIRST, LEAST, MOST = 1000, 2, 8


class Sought(NamedTuple):
    """Which jobs are looked for."""

    conditions: tuple[str, ...]
    """On `job`, `next_run`, and `begun` where that is looked at."""
    begun: bool
    """Whether they look at the newest run that has begun."""
    indexed: tuple[str, ...]
    """Those of the conditions that an index on jobs knows: of what does not fit them, no more is read."""
    values: Mapping[str, Any]


class Turn(NamedTuple):
    """When a job runs next."""

    key: datetime
    jobid: int


class _Look(NamedTuple):
    """What a look has found."""

    jobids: Sequence[int]
    keys: Sequence[datetime]
    looked_at: int
    """Next runs, of other jobs too."""
    key: datetime
    """Where the last of these is, if there was any."""
    last: int


async def next_ones(
    session: Session, sought: Sought, after: Turn | None, until: datetime | None, limit: int
) -> list[Turn]:
    """Up to `limit` jobs by when they run next, in that order: after a place, and by then."""
    found, among = dict[int, Turn](), max(FIRST, 2 * limit)
    async with planned_anew(session):
        while True:
            look = _look(
                sought.conditions, sought.begun, sought.indexed, after is not None, until is not None
            )
            bounds = {"key": after and after.key, "jobid": after and after.jobid, "until": until}
            asked = limit - len(found)
            part = await session.one(look, **sought.values, **bounds, among=among, limit=asked)
            turns = [*map(Turn, part.keys, part.jobids)]
            # What has run since it was found comes again, later.
            found = {turn.jobid: turn for turn in turns} | found
            is_cut = len(turns) == asked
            if len(found) == limit or (not is_cut and part.looked_at < among):
                return sorted(found.values())
            after = turns[-1] if is_cut else Turn(part.key, part.last)
            # Where as many of the next ones fit, these are enough.
            times = 1.25 * (limit - len(found)) / max(1, len(turns))
            among = int(among * min(max(times, LEAST), MOST))


@lru_cache(maxsize=256)
def _look(
    conditions: tuple[str, ...], begun: bool, indexed: tuple[str, ...], further: bool, bounded: bool
) -> Statement[_Look]:
    bounds = [LIVE]
    if further:
        bounds.append("({key}, jobid) > (CAST(:key AS timestamptz), :jobid)")
    if bounded:
        bounds.append("{key} <= :until")
    # The first of each kind are the first of all: where those of one kind alone fit, none of the others has
    # to be gone through to its end.
    first = " UNION ALL ".join(
        f"""
        (SELECT jobid, {key} AS key, laststatus FROM joblog
         WHERE {" AND ".join(bounds).format(key=key)} AND {which}
         ORDER BY {key}, jobid LIMIT :among)
        """
        for key, which in IN_TURN
    )
    theirs = [IS_OF.format(row="next_run", which=which) for which in indexed]
    return Statement(
        f"""
        WITH seen AS MATERIALIZED (
            SELECT * FROM ({first}) AS next_run ORDER BY key, jobid LIMIT :among
        ), found AS (
            SELECT job.jobid, next_run.key
            FROM (SELECT * FROM seen AS next_run WHERE {" AND ".join(theirs) or "true"}) AS next_run
            {ITS_JOB.format(row="next_run")} {BEGUN if begun else ""}
            WHERE {" AND ".join(conditions)} ORDER BY next_run.key, job.jobid LIMIT :limit
        )
        SELECT coalesce((SELECT array_agg(jobid ORDER BY key, jobid) FROM found), '{{}}') AS jobids,
               coalesce((SELECT array_agg(key ORDER BY key, jobid) FROM found), '{{}}') AS keys,
               (SELECT count(*) FROM seen) AS looked_at, last.key, last.jobid AS last
        FROM (VALUES (1)) AS always
        LEFT JOIN (SELECT key, jobid FROM seen ORDER BY key DESC, jobid DESC LIMIT 1) AS last ON true
        """,
        _Look,
    )
