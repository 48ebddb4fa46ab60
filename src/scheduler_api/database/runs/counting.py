"""What bounds claims, and how no two of them count the same free place.

Each host has a turn (`take_turns`), jobs are locked, and so are limits that hosts share
(`shares.lock_limits`); all of that is held before what runs is counted. Settling waits for none of it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from zlib import crc32

import structlog

from scheduler_api.database.failures import DATABASE_ERRORS, is_locked
from scheduler_api.database.statements import Session, Statement, savepoint
from scheduler_api.database.tables.runs import LIVE

log = structlog.get_logger(__name__)

#: Any number that no other user of the same database takes; spells "call".
CLAIM_KEY = 0x63616C6C
#: So many turns there are, for all hosts: each is a lock, and the server has memory for some thousands.
TURNS = 64
TRY_TURNS = Statement(
    "SELECT turn FROM unnest(CAST(:turns AS int[])) AS turn WHERE pg_try_advisory_xact_lock(:key, turn)"
)
#: Others' claims are worth so many milliseconds of waiting; rows that somebody holds are not, as the others
#: wait meanwhile.
PATIENCE = 2000
#: It waits for half as long as a statement may take, if that is less: otherwise the whole claim would fail.
WAIT_FOR_TURN = Statement(
    """
    SELECT set_config('lock_timeout', CAST(patience AS text), true), pg_advisory_xact_lock(:key, :turn),
           set_config('lock_timeout', '250ms', true)
    FROM (
        SELECT greatest(1, least(CAST(:patience AS int), nullif(CAST(setting AS int), 0) / 2)) AS patience
        FROM pg_settings WHERE name = 'statement_timeout'
    ) AS allowed
    """
)
TAKE_ALL_TURNS = Statement(
    "SELECT pg_advisory_xact_lock(:key, turn) FROM generate_series(0, CAST(:last AS int)) AS turn"
)
#: A call in progress: a run that its target goes on with by itself is none, and takes no place.
IS_CALL = "status = 'running' AND kind = 'http' AND acceptedat IS NULL"
#: How many runs a job may have at once; NULL: any number.
MOST = "SELECT coalesce(concurrency, CASE WHEN NOT overlap THEN 1 END) FROM job WHERE jobid = {jobid}"


class Bound(NamedTuple):
    """What bounds a claim: a job, a host, a tag, a project, a limit, a host that is down."""

    kind: str
    name: str
    jobid: int
    runs: int
    """In progress; or failures in a row."""
    calls: int
    """Those of them that have a call in progress."""
    limit: int | None
    rate: int | None
    until: datetime | None


#: What bounds a claim. Thousands of runs may be in progress: it looks at those only that it asks about. Which
#: tags and project they have, no index tells: where that matters, all are looked at, once.
BOUNDS = Statement(
    f"""
    WITH shared AS MATERIALIZED (
        SELECT scope, name FROM concurrencylimit
        WHERE "limit" IS NOT NULL
          AND (scope = 'tag' AND (CAST(:tags AS text[]) IS NULL OR name = ANY(CAST(:tags AS text[])))
               OR scope = 'project'
                  AND (CAST(:projects AS text[]) IS NULL OR name = ANY(CAST(:projects AS text[]))))
    ), running AS MATERIALIZED (
        SELECT job.tags, job.project, joblog.kind = 'http' AND acceptedat IS NULL AS calling
        FROM joblog
             CROSS JOIN LATERAL (SELECT tags, project FROM job WHERE job.jobid = joblog.jobid OFFSET 0) AS job
        WHERE (CAST(:tight AS bool) OR EXISTS (SELECT FROM shared)) AND {LIVE} AND status = 'running'
    ), tagged AS MATERIALIZED (
        -- Nearly all have the same few.
        SELECT tags, count(*) AS runs, count(*) FILTER (WHERE calling) AS calls FROM running GROUP BY tags
    )
    SELECT 'host' AS kind, name, CAST(0 AS bigint) AS jobid, CAST(0 AS bigint) AS runs, own.calls,
           CAST(NULL AS integer) AS "limit", CAST(NULL AS integer) AS rate, CAST(NULL AS timestamptz) AS until
    FROM (
        SELECT host AS name, count(*) AS calls FROM joblog
        WHERE {LIVE} AND {IS_CALL} AND host = ANY(CAST(:hosts AS text[])) GROUP BY host
    ) AS own
    UNION ALL
    SELECT 'job', '', asked, own.runs, own.calls, ({MOST.format(jobid="asked")}), NULL, NULL
    FROM unnest(CAST(:jobids AS bigint[])) AS asked CROSS JOIN LATERAL (
        SELECT count(*) AS runs, count(*) FILTER (WHERE acceptedat IS NULL) AS calls
        FROM joblog WHERE {LIVE} AND status = 'running' AND jobid = asked
    ) AS own
    WHERE own.runs > 0
    UNION ALL
    SELECT 'limit of ' || scope, name, 0, 0, 0, "limit", rate, busyuntil FROM concurrencylimit
    UNION ALL
    SELECT 'tag', tag, 0, CAST(sum(runs) AS bigint), 0, NULL, NULL, NULL
    FROM tagged CROSS JOIN unnest(tags) AS tag
    WHERE tag IN (SELECT name FROM shared WHERE scope = 'tag') GROUP BY tag
    UNION ALL
    SELECT 'project', project, 0, runs, 0, NULL, NULL, NULL
    FROM (SELECT project, count(*) AS runs FROM running GROUP BY project) AS own
    WHERE project IN (SELECT name FROM shared WHERE scope = 'project')
    UNION ALL
    SELECT 'busy tag', tag, 0, 0, CAST(sum(calls) AS bigint), NULL, NULL, NULL
    FROM tagged CROSS JOIN unnest(tags) AS tag WHERE CAST(:tight AS bool) GROUP BY tag HAVING sum(calls) > 0
    UNION ALL
    SELECT 'down', host, 0, failures, 0, NULL, NULL, openuntil FROM hostfailure
    """,
    Bound,
)


def turn_of(host: str) -> int:
    """Which turn is a host's; some have one together."""
    return crc32(host.encode()) % TURNS


async def take_turns(session: Session, hosts: Sequence[str]) -> set[str]:
    """Those of these hosts that no other claim takes calls to until this transaction ends.

    Where others have the turns of all, that of the first is waited for, as nothing is held yet; no host if it
    times out.
    """
    turns = {host: turn_of(host) for host in hosts}
    mine = {*await session.values(TRY_TURNS, key=CLAIM_KEY, turns=sorted({*turns.values()}))}
    if turns and not mine and await _waited_for(session, hosts[0]):
        mine = {turns[hosts[0]]}
    return {host for host, turn in turns.items() if turn in mine}


async def _waited_for(session: Session, host: str) -> bool:
    """Whether the turn of a host was got within a while."""
    try:
        async with savepoint(session):
            await session.all(WAIT_FOR_TURN, key=CLAIM_KEY, turn=turn_of(host), patience=PATIENCE)
    except DATABASE_ERRORS as error:
        if not is_locked(error):
            raise
        log.warning("another claim keeps the turn of a host; its calls are left to a later one", host=host)
        return False
    return True


async def take_all_turns(session: Session) -> None:
    """Let no claim count anything until this transaction ends, and wait for those that have."""
    await session.all(TAKE_ALL_TURNS, key=CLAIM_KEY, last=TURNS - 1)


async def bounds(
    session: Session,
    hosts: Sequence[str],
    jobids: Sequence[int] = (),
    tags: Sequence[str] | None = None,
    projects: Sequence[str] | None = None,
    *,
    tight: bool,
) -> list[Bound]:
    """What bounds claims of calls to these hosts, of these jobs, tags and projects.

    Of tags and projects, only those with a limit (all of these, if none are given); with `tight`, also which
    tags have calls in progress.
    """
    return await session.all(BOUNDS, hosts=hosts, jobids=jobids, tags=tags, projects=projects, tight=tight)
