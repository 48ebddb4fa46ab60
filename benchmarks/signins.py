"""How long others wait while somebody tries wrong passwords, as many at a time as the service lets in."""

import asyncio
from collections import Counter
from statistics import quantiles
from time import perf_counter

import aiohttp
from sqlalchemy.engine import URL

from benchmarks import programs
from benchmarks.requests_per_second import fill
from benchmarks.results import Row, below
from benchmarks.server import fresh_database
from benchmarks.sizes import Sizes
from scheduler_api.services.access.signing import MAX_TRIES

QUESTION = "Wrong sign-ins: ms that requests with a key take meanwhile"
#: Sign-ins in flight; and seconds between two requests of somebody else.
AT_ONCE, PAUSE = 128, 0.02
#: Others are measured for as many seconds before it begins.
BEFORE = 5.0


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    calm, attacked, counts = list[float](), list[float](), Counter[int]()
    with programs.admin() as admin:
        key = admin.key
        # So that each sign-in can come from an address of its own.
        asking = {**admin.settings, "SCHEDULER_TRUSTED_PROXIES": "127.0.0.0/8"}
        async with fresh_database(server) as url, _session() as session:
            await fill(url)
            for _ in range(sizes.repetitions):
                async with programs.service(url, asking) as port:
                    here = f"http://127.0.0.1:{port}"
                    calm.append(await _waited(session, here, key, asyncio.create_task(asyncio.sleep(BEFORE))))
                    attack = asyncio.create_task(_try_passwords(session, here, sizes.signins, counts))
                    attacked.append(await _waited(session, here, key, attack))
    told = ", ".join(f"{count:,} × {status}" for status, count in sorted(counts.items()))
    return [
        Row("p99 of others without sign-ins", calm, "ms"),
        Row(f"p99 of others beside {told}", attacked, "ms", sizes.judged(below(100, " ms"))),
    ]


def _session() -> aiohttp.ClientSession:
    """Nobody waits for a connection here."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def _waited(session: aiohttp.ClientSession, here: str, key: str, until: asyncio.Task[None]) -> float:
    """The p99 of requests with a key until the task ends, in milliseconds."""
    headers, taken = {"Authorization": f"Bearer {key}", "Accept": "application/json"}, list[float]()
    while not until.done():
        began = perf_counter()
        async with session.get(f"{here}/jobs?limit=20", headers=headers) as answer:
            assert answer.status == 200, answer.status
            await answer.read()
        taken.append((perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE)
    await until
    return quantiles(taken, n=100)[-1]


async def _try_passwords(session: aiohttp.ClientSession, here: str, count: int, counts: Counter[int]) -> None:
    """So many wrong sign-ins, by names and from addresses that are not stopped yet."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            who = number // MAX_TRIES
            headers = {
                "X-Forwarded-For": f"10.{who >> 16}.{who >> 8 & 255}.{who & 255}",
                "Accept": "text/html",
            }
            form = {"name": f"user-{who}", "password": "not this one"}
            async with session.post(f"{here}/sign-in", data=form, headers=headers) as answer:
                await answer.read()
            counts[answer.status] += 1

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
