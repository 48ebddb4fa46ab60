"""Requests per second through the service, against bare handlers with the same SQL and the same models."""

import json
from typing import Any, NamedTuple

from sqlalchemy.engine import URL

from benchmarks import programs
from benchmarks.due_jobs import add_past, refill, settle_down
from benchmarks.results import Row, at_least, ratios
from benchmarks.server import bare_connection, fresh_database
from benchmarks.sizes import Sizes

QUESTION = "HTTP, requests/s of one process over 32 connections against bare FastAPI + asyncpg handlers"

JOBS, LOGS = 1_000, 10
WARM_UP_SECONDS = 1.0


class Endpoint(NamedTuple):
    """One kind of request, in enough variants that no cache tells."""

    name: str
    status: int
    requests: list[str]


def _get(path: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n"


def _post(path: str, given: dict[str, Any]) -> str:
    body = json.dumps(given)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"


def draft(number: int) -> dict[str, Any]:
    """A job to create."""
    # So far ahead that nothing runs while others are measured.
    day = {"startdate": f"20{40 + number % 50}-01-31", "starttime": "02:00:00"}
    return {"jobname": f"created {number}", **day, "repeat": True, "interval": 60 + number}


ENDPOINTS = [
    Endpoint("GET /jobs/{jobid}, 10 logs", 200, [_get(f"/jobs/{n}") for n in range(1, JOBS + 1)]),
    Endpoint("GET /jobs?limit=20", 200, [_get(f"/jobs?limit=20&cursor={n}") for n in range(JOBS - 20)]),
    Endpoint("POST /jobs", 201, [_post("/jobs", draft(n)) for n in range(1_000)]),
]


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    rows: list[Row] = []
    async with fresh_database(server) as url:
        await fill(url)
        async with programs.module("bare_app", url) as bare, programs.service(url) as service:
            for endpoint in ENDPOINTS:
                rows += await _compare(endpoint, bare, service, sizes)
    return rows


async def fill(url: URL) -> None:
    """Jobs with ten logs each, the newest of them a promise that nobody will come to keep, or to repair."""
    async with bare_connection(url) as connection:
        await refill(connection, JOBS)
        await add_past(connection, 1, LOGS - 1)
        await connection.execute(
            """
            WITH moved AS (
                UPDATE joblog SET scheduledfor = date_trunc('minute', nextrun) + interval '1 day',
                                  nextrun = date_trunc('minute', nextrun) + interval '1 day'
                WHERE status = 'pending' RETURNING jobid, nextrun AT TIME ZONE 'UTC' AS start
            )
            UPDATE job SET startdate = CAST(start AS date), starttime = CAST(start AS time)
            FROM moved WHERE job.jobid = moved.jobid
            """
        )
        await settle_down(connection)


async def _compare(endpoint: Endpoint, bare: int, service: int, sizes: Sizes) -> list[Row]:
    seconds = min(WARM_UP_SECONDS, sizes.http_seconds)
    for port in (bare, service):
        await rate(endpoint, port, seconds, sizes.connections)
    rates: dict[int, list[float]] = {bare: [], service: []}
    for _ in range(sizes.repetitions):
        for port in (bare, service):
            rates[port].append(await rate(endpoint, port, sizes.http_seconds, sizes.connections))
    return [
        Row(f"{endpoint.name}, bare", rates[bare], "requests/s"),
        Row(f"{endpoint.name}, service", rates[service], "requests/s"),
        Row(
            f"{endpoint.name}, service ÷ bare",
            ratios(rates[service], rates[bare]),
            "",
            sizes.judged(at_least(0.5)),
        ),
    ]


async def rate(endpoint: Endpoint, port: int, seconds: float, connections: int) -> float:
    """Requests a second that a server answers as it should."""
    order = {
        "port": port,
        "requests": endpoint.requests,
        "status": str(endpoint.status),
        "seconds": seconds,
        "connections": connections,
    }
    seen = json.loads(await programs.answer_of("load_client", asked=json.dumps(order).encode()))
    if seen["wrong"]:
        raise RuntimeError(f"{endpoint.name}: {seen['wrong'][0]}")
    return float(seen["rate"])
