"""What pages and lists cost by plans of the time when there was hardly anything; see `tests.stale`.

An operator looks at them after an outage, when very many runs have failed at once.
"""

import itertools
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import pytest
from asgi_lifespan import LifespanManager
from httpx import ASGITransport, AsyncClient
from sqlalchemy.engine import URL

from benchmarks import million
from scheduler_api.actors import Role
from scheduler_api.app import create_app
from scheduler_api.contracts.access.keys import KeyDraft
from scheduler_api.contracts.access.projects import ProjectDraft
from scheduler_api.database import connections
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.pools import REQUESTS_SETTINGS
from scheduler_api.services.access import keys, projects
from scheduler_api.settings import Settings
from tests import pooler, stale
from tests.factories import ACTOR, execute, scalar
from tests.plans import MODES, rows_of

HTML, JSON = "text/html", "application/json"
PLACES = [path for path in million.PLACES if not re.match("/jobs/[0-9]{2}", path)]
PAGES = (
    *million.LISTS, *PLACES, "/performance?sort=p95", "/issues?kind=failed", "/channels", "/calendars",
    "/jobs?state=failing&laststatus=failed", "/jobs?state=failing&project=bank",
    "/jobs?state=running&sort=nextrun", "/jobs?state=overdue&sort=jobname",
    "/jobs?project=bank&sort=nextrun", "/jobs?project=bank&sort=-lastrun", "/logs?project=bank",
    "/logs?project=bank&status=failed",
)  # fmt: skip
#: Lists, of which a program may ask for so many at once.
LISTS = ("/jobs", "/logs", "/issues", "/upcoming", "/alerts", "/audit")
LONG = "limit=200"
REQUESTS = (
    *((path, HTML) for path in PAGES),
    *(
        (path if not path.startswith(LISTS) else f"{path}{'&' if '?' in path else '?'}{LONG}", JSON)
        for path in PAGES
    ),
    *((path, JSON) for path in (*million.ONLY_JSON, "/jobs/1/check", "/metrics", "/metrics/jobs?limit=1000")),
)
#: What these answer is kept for a while.
WITHOUT = {"/forecast", "/metrics"}
#: Jobs that are due, of each kind, and so many others.
DUE, OTHERS = 250, 750
#: Rows that a statement may look at for each job that there is: its own, some times, but not those of all
#: jobs for each that is shown.
MOST = 30
#: The same for somebody who sees one project: what is searched is compared with its jobs, too.
MOST_OF_PROJECT = 35
#: Each job has run twice, and one in ten has failed. Half of them failed the last time; some are in progress,
#: wait for another attempt, or are overdue.
HISTORY = """
    WITH named AS (
        UPDATE job SET jobname = jobname || CASE jobid % 5 WHEN 3 THEN ' customer 4711' ELSE ' billing' END,
                       tags = CASE jobid % 2 WHEN 0 THEN ARRAY['region-17', 'plan-1'] ELSE '{}' END
        WHERE tags = '{}' AND jobname NOT LIKE '% %'
    ), going AS (
        UPDATE joblog SET
            status = CAST(CASE WHEN jobid % 7 = 0 THEN 'running' ELSE 'pending' END AS logstatus),
            attempt = CASE WHEN jobid % 7 = 1 THEN 2 ELSE 1 END,
            following = CASE WHEN jobid % 7 < 2 THEN nextrun + interval '1 hour' END,
            nextrun = CASE WHEN jobid % 7 = 0 THEN NULL
                           WHEN jobid % 7 = 2 THEN now() - interval '1 minute' ELSE nextrun END,
            startedat = CASE WHEN jobid % 7 < 2 THEN now() END, lastrun = now(),
            leasetoken = CASE WHEN jobid % 7 = 0 THEN gen_random_uuid() END,
            leaseuntil = CASE WHEN jobid % 7 = 0 THEN now() + interval '1 hour' END,
            laststatus = CAST(CASE jobid % 2 WHEN 0 THEN 'failed' ELSE 'finished' END AS logstatus),
            failures = jobid % 2, failingsince = CASE jobid % 2 WHEN 0 THEN now() END
        WHERE day = 'infinity' AND laststatus IS NULL
    )
    INSERT INTO joblog (day, jobid, scheduledfor, status, startedat, finishedat, kind, host, error)
    SELECT firstday, jobid, at, CAST(CASE WHEN failed THEN 'failed' ELSE 'finished' END AS logstatus), at, at,
           kind, host, CASE WHEN failed THEN 'No.' END
    FROM history, job, generate_series(1, 2) AS n,
         LATERAL (SELECT firstday + n * interval '1 h' AS at, jobid % 10 = 0 AS failed) AS run
    ON CONFLICT DO NOTHING
"""


@pytest.fixture
def plans() -> list[Any]:
    """How requests' statements were carried out."""
    return []


@pytest.fixture(params=MODES)
async def client(
    request: pytest.FixtureRequest, plans: list[Any], scratch: URL, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AsyncClient]:
    """A client of a service that tells how its requests' statements are carried out."""

    def note(_: Any, message: asyncpg.PostgresLogMessage) -> None:
        plans.extend(stale.plans_in(message))

    monkeypatch.setattr(connections, "_note_warning", note)
    explaining = {
        "session_preload_libraries": "auto_explain",
        **stale.EXPLAINING,
        stale.EXPLAINED: "0",
        "plan_cache_mode": request.param,
    }
    monkeypatch.setattr("scheduler_api.databases.REQUESTS_SETTINGS", REQUESTS_SETTINGS | explaining)
    environment = pooler.environment(scratch)
    given: dict[str, Any] = {"ticker": False, "statement_timeout": 60, "auth": "required"}
    given |= {name.removeprefix("SCHEDULER_").lower(): text for name, text in environment.items()}
    app = create_app(Settings.model_validate(given))
    async with LifespanManager(app) as manager:
        transport = ASGITransport(manager.app, client=("127.0.0.1", 50000))
        async with AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


async def key_of(database: Database, project: str | None) -> str:
    """A new key of somebody who sees one project, or all."""

    async def make(session: Session, now: datetime) -> str:
        if project is not None:
            await projects.add(session, now, ACTOR, ProjectDraft(name=project))
        draft = KeyDraft(name=f"for {project}", role=Role.EDITOR if project else Role.ADMIN, project=project)
        return (await keys.add(session, now, ACTOR, draft)).key

    return await database.transact(make)


@pytest.mark.parametrize("counted", stale.STATES)
async def test_no_page_compares_each_job_with_each(
    client: AsyncClient, plans: list[Any], fresh: Database, counted: str
) -> None:
    await stale.count(fresh, counted, DUE, OTHERS)
    of_each = [await key_of(fresh, None), await key_of(fresh, "bank")]
    for others in (1, OTHERS):
        await stale.fill(fresh, DUE + others, DUE)
        await execute(fresh, HISTORY)
        await execute(fresh, "UPDATE job SET project = 'bank' WHERE jobid % 2 = 1")
        jobs = await scalar(fresh, "SELECT count(*) FROM job")
        for key, (path, accept) in itertools.product(of_each, REQUESTS):
            plans.clear()
            headers = {"accept": accept, "authorization": f"Bearer {key}"}
            response = await client.get(path, headers=headers)
            # What is of no project needs a role everywhere.
            without, most = ({406}, MOST) if key == of_each[0] else ({403, 406}, MOST_OF_PROJECT)
            assert response.status_code in {200, *without}, (path, response.text)
            assert plans or response.status_code in without or path in WITHOUT, path
            for plan in plans:
                assert rows_of(plan["Plan"]) <= most * jobs, (path, plan["Query Text"])
