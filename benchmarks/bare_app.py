"""The yardstick of the HTTP measurements: FastAPI, asyncpg, the service's SQL and models, nothing else.

Run as a program: `python -m benchmarks.bare_app DSN PORT`.
"""

import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import uvicorn
from fastapi import FastAPI, HTTPException

from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.runs.logs import JobWithLogs
from scheduler_api.database.jobs import changes, definitions, lists
from scheduler_api.database.runs import lists as log_lists
from scheduler_api.database.runs import pending
from scheduler_api.database.statements import Statement
from scheduler_api.database.transactions import OPENING
from scheduler_api.schedule import instant_of

#: As many connections as the service may open for requests.
CONNECTIONS = 10
#: What the service asks for the list in its usual order.
PAGE = lists.statement((), "jobid", further=True)
#: What a new job has besides what was written.
NEW = {
    "state": "active", "pausedat": None, "pauseid": None, "pausereason": None, "pauseduntil": None,
    "lastrun": None, "laststatus": None, "failures": 0, "lastsuccess": None, "openissues": 0, "version": 1,
}  # fmt: skip


async def _leave_as_it_is(_connection: Any) -> None:
    """The pool would send a statement that the service does not."""


def bare_app(database: str) -> FastAPI:  # noqa: PLR0915 - three handlers in one place
    """The application: each handler is what one writes who wants nothing but speed of FastAPI."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        size = {"min_size": CONNECTIONS, "max_size": CONNECTIONS}
        async with asyncpg.create_pool(database, **size, reset=_leave_as_it_is) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/jobs/{jobid}", response_model=JobWithLogs)
    async def show(jobid: int, limit: int = 100) -> Any:
        async with app.state.pool.acquire() as connection:
            job = await connection.fetchrow(definitions.ONE.sql, jobid)
            if job is None:
                raise HTTPException(404)
            newest = await connection.fetch(log_lists.statement(("jobid",)).sql, jobid, limit + 1)
        return {"job": dict(job), "logs": [dict(log) for log in newest]}

    @app.get("/jobs", response_model=list[Job])
    async def page(cursor: int = 0, limit: int = 100) -> Any:
        async with app.state.pool.acquire() as connection:
            jobids = [row[0] for row in await connection.fetch(PAGE.sql, cursor, limit + 1)]
            # The database returns them as it pleases, and the list is in the order of the page.
            found = {job["jobid"]: dict(job) for job in await connection.fetch(lists.OF_IDS.sql, jobids)}
        return [found[jobid] for jobid in jobids[:limit]]

    @app.post("/jobs", response_model=Job, status_code=201)
    async def create(draft: JobDraft) -> Any:
        values = draft.model_dump()
        async with app.state.pool.acquire() as connection, connection.transaction():

            async def run(statement: Statement[Any], **named: Any) -> Any:
                return await connection.fetchval(statement.sql, *statement.arguments(named))

            now, *_ = await connection.fetchrow(OPENING.sql)
            assert draft.startdate is not None
            assert draft.starttime is not None
            first = instant_of(datetime.combine(draft.startdate, draft.starttime), draft.timezone)
            if first <= now:
                raise HTTPException(422)
            nowhere: dict[str, Any] = {
                "kind": "plain",
                "host": None,
                "calendardays": [],
                "calendarversion": 0,
                "secretnames": [],
                "afterjobid": None,
                "pausedat": None,
                "resumefrom": None,
            }
            jobid = await run(definitions.CREATE, **values, **nowhere, now=now)
            promise = {"occurrences": [first], "trieds": [first], "lastruns": [None], "counts": [0]}
            await run(pending.ADD, jobids=[jobid], **promise)
            change = {
                "action": "created",
                "actor": "local",
                "client": None,
                "address": None,
                "project": "default",
                "before": None,
                "after": draft.model_dump_json(),
            }
            await run(changes.RECORD, jobid=jobid, at=now, **change)
        return values | NEW | {"jobid": jobid, "nextrun": first, "createdat": now}

    return app


def main() -> None:
    database, port = sys.argv[1:]
    uvicorn.run(
        bare_app(database),
        port=int(port),
        http="httptools",
        loop="uvloop",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
