"""Deliveries of one replica, ledger and all, against the bare HTTP client that does nothing but call."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy.engine import URL

from benchmarks import programs, receiver, statements
from benchmarks.due_jobs import settle_down
from benchmarks.results import Row, at_least, below, ratios
from benchmarks.server import bare_connection, fresh_database
from benchmarks.sizes import Sizes
from scheduler_api.contracts.jobs.targets import Target

QUESTION = "deliveries/s of one replica to a local receiver against the bare aiohttp client"
#: Different targets: a real ledger's jobs differ, too.
HOOKS = 1_000
#: Seconds between two looks whether all is delivered; for all of it.
LOOK, PATIENCE = 0.2, 300.0
#: What the client sets itself.
OWN_HEADERS = {"host", "content-length", "accept", "accept-encoding"}

DUE_CALLS = f"""
    WITH made AS (
        INSERT INTO job (jobname, startdate, starttime, repeat, cron, active, createdat, validfrom, target,
                         kind, host)
        SELECT 'job ' || n, current_date - 1, '00:00', $5::text IS NOT NULL, $5, true, '2020-01-01',
               '2020-01-01',
               jsonb_set($2::jsonb, '{{url}}', to_jsonb($3::text || n % {HOOKS})), 'http', $4
        FROM generate_series(1, $1::int) AS n
        RETURNING jobid, kind, host
    )
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host)
    SELECT jobid, due, due, kind, host
    FROM made, LATERAL (SELECT current_date - interval '1 day') AS occurrence (due)
"""
#: Due once in the time that is measured.
CRON = "0 0 * * *"
UNSETTLED = """
    SELECT EXISTS (SELECT FROM joblog WHERE status = 'running' OR status = 'pending' AND nextrun <= now())
"""
#: What the ledger says: from the first claim to the last verdict.
DELIVERED = """
    SELECT count(*) FILTER (WHERE status = 'finished' AND attempt = 1) AS finished,
           extract(epoch FROM max(finishedat) - min(startedat))::float8 AS seconds
    FROM joblog
"""
ATTEMPTS = "SELECT count(*) FROM logattempt"


class Delivery(NamedTuple):
    """What a service did."""

    rate: float
    """Deliveries per second."""
    statements: float | None
    """SQL statements per delivery, where the server counts them."""
    sent: dict[str, Any]
    """The last request."""


@dataclass
class Seen:
    """What was measured with so many calls in flight."""

    service: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    statements: list[float] = field(default_factory=list)


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    seen = {in_flight: Seen() for in_flight in sizes.in_flight}
    for _ in range(sizes.repetitions):
        for in_flight, one in seen.items():
            async with fresh_database(server) as url:
                delivery = await deliver(url, sizes.deliveries, in_flight)
            one.service.append(delivery.rate)
            if delivery.statements is not None:
                one.statements.append(delivery.statements)
            one.bare.append(await _bare(delivery.sent, sizes.deliveries, in_flight))
    rows = [row for in_flight, one in seen.items() for row in _rows(in_flight, one, sizes)]
    return [*rows, *await _of_cron_jobs(server, sizes, seen[max(sizes.in_flight)])]


async def _of_cron_jobs(server: URL, sizes: Sizes, beside: Seen) -> list[Row]:
    """The same of jobs that go on, whose next occurrences have to be found."""
    in_flight, seen = max(sizes.in_flight), Seen(bare=beside.bare)
    for _ in range(sizes.repetitions):
        async with fresh_database(server) as url:
            delivery = await deliver(url, sizes.deliveries, in_flight, cron=CRON)
        seen.service.append(delivery.rate)
        if delivery.statements is not None:
            seen.statements.append(delivery.statements)
    return _rows(in_flight, seen, sizes, of="cron jobs, ")[1:]


def _rows(in_flight: int, seen: Seen, sizes: Sizes, of: str = "") -> list[Row]:
    name = f"{of}{in_flight} in flight"
    rows = [
        Row(f"{name}, bare client", seen.bare, "calls/s"),
        Row(f"{name}, service", seen.service, "deliveries/s"),
        Row(
            f"{name}, service ÷ bare client", ratios(seen.service, seen.bare), "", sizes.judged(at_least(0.5))
        ),
    ]
    if seen.statements:
        # Those who have less in flight at once have less to put in one statement.
        target = sizes.judged(below(0.1)) if in_flight == max(sizes.in_flight) else None
        rows.append(Row(f"{name}, SQL statements per delivery", seen.statements, "", target))
    return rows


async def deliver(
    url: URL,
    calls: int,
    in_flight: int,
    more: Mapping[str, str] = MappingProxyType({}),
    cron: str | None = None,
) -> Delivery:
    """Have so many calls delivered by a service process, so many of them at the same time.

    `more` are settings of the service; `cron`, when the jobs run again, if they do.
    """
    per_call = None
    async with programs.receiver() as port, bare_connection(url, **statements.UNCOUNTED) as connection:
        await _fill(connection, calls, port, cron)
        if counting := await statements.is_counting_possible(connection):
            await statements.begin_to_count(connection)
        settings = {"SCHEDULER_CONCURRENCY": str(in_flight), "SCHEDULER_HOST_CONCURRENCY": "10000"}
        settings |= more
        async with programs.service(url, settings), asyncio.timeout(PATIENCE):
            while (await receiver.told_by(port))["requests"] < calls or await connection.fetchval(UNSETTLED):
                await asyncio.sleep(LOOK)
            if counting:
                per_call = await statements.counted(connection) / calls
        told = await receiver.told_by(port)
        finished, seconds = await connection.fetchrow(DELIVERED)
        attempts = await connection.fetchval(ATTEMPTS)
    if not finished == attempts == told["requests"] == calls:
        counts = f"{finished} finished, {attempts} attempts, {told['requests']} requests"
        raise RuntimeError(f"{calls} calls were due, each once: {counts}")
    return Delivery(calls / seconds, per_call, told)


async def _bare(sent: dict[str, Any], calls: int, in_flight: int) -> float:
    """Send the same request as often, by the client alone; calls per second."""
    lines = [line.partition(": ") for line in sent["head"].split("\r\n")[1:]]
    async with programs.receiver() as port:
        order = {
            "urls": [f"{_address(port)}{hook}" for hook in range(HOOKS)],
            "calls": calls,
            "concurrency": in_flight,
            "headers": {name: value for name, _, value in lines if name.lower() not in OWN_HEADERS},
            "body": sent["body"],
        }
        answer = json.loads(await programs.answer_of("bare_client", asked=json.dumps(order).encode()))
        told = await receiver.told_by(port)
    if told["requests"] != calls or len(told["body"]) != len(sent["body"]):
        raise RuntimeError(f"the bare client made {told['requests']} of {calls} calls")
    return float(answer["rate"])


async def _fill(connection: Any, calls: int, port: int, cron: str | None) -> None:
    """Jobs that run once, or go on, each with a target, and all of them due."""
    body = {"job": "{{jobid}}", "run": "{{logid}}", "for": "{{scheduledfor}}", "try": "{{attempt}}"}
    target = Target(url=_address(port), body=body)
    await connection.execute(DUE_CALLS, calls, target.model_dump_json(), target.url, target.host, cron)
    await settle_down(connection)


def _address(port: int) -> str:
    """Without the number of the hook."""
    return f"http://127.0.0.1:{port}/hooks/"
