"""Requests per second with an API key, against the same service without signing in."""

from sqlalchemy.engine import URL

from benchmarks import programs
from benchmarks.requests_per_second import ENDPOINTS, WARM_UP_SECONDS, Endpoint, fill, rate
from benchmarks.results import Row, at_least, ratios
from benchmarks.server import fresh_database
from benchmarks.sizes import Sizes

QUESTION = "API keys, requests/s with SCHEDULER_AUTH=required and a key against local without one"


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    rows: list[Row] = []
    with programs.admin() as admin:
        async with fresh_database(server) as url:
            await fill(url)
            async with programs.service(url) as open_to_all, programs.service(url, admin.settings) as guarded:
                for endpoint in ENDPOINTS:
                    rows += await _compare(endpoint, open_to_all, guarded, admin.key, sizes)
    return rows


async def _compare(endpoint: Endpoint, open_to_all: int, guarded: int, key: str, sizes: Sizes) -> list[Row]:
    header = f"\r\nAuthorization: Bearer {key}\r\n"
    with_key = endpoint._replace(
        requests=[request.replace("\r\n", header, 1) for request in endpoint.requests]
    )
    ways = {open_to_all: endpoint, guarded: with_key}
    for port, way in ways.items():
        await rate(way, port, min(WARM_UP_SECONDS, sizes.http_seconds), sizes.connections)
    rates: dict[int, list[float]] = {port: [] for port in ways}
    for _ in range(sizes.repetitions):
        for port, way in ways.items():
            rates[port].append(await rate(way, port, sizes.http_seconds, sizes.connections))
    return [
        Row(f"{endpoint.name}, without", rates[open_to_all], "requests/s"),
        Row(f"{endpoint.name}, with a key", rates[guarded], "requests/s"),
        Row(
            f"{endpoint.name}, with ÷ without",
            ratios(rates[guarded], rates[open_to_all]),
            "",
            sizes.judged(at_least(0.9)),
        ),
    ]
