"""What pages and answers cost among a million jobs: first filled, and a sample of it proven by `check`."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
from sqlalchemy.engine import URL

from benchmarks import programs
from benchmarks.many_jobs import PROJECTS, fill
from benchmarks.results import Row, at_least, at_most, exactly
from benchmarks.server import bare_connection, fresh_database, service_database
from benchmarks.sizes import Sizes
from scheduler_api import checking
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.services.runs import passes

QUESTION = "every page and answer among a million jobs, in ms"

#: Milliseconds that an answer may take, the median of so many; requests side by side that all must succeed.
SLOWEST, TRIES, READERS = 300.0, 5, 32
#: Runs in a batch.
BATCH = 1000
#: Of so many jobs one is checked.
SAMPLE = 1000
#: Seconds to wait for an answer.
PATIENCE = 60.0
#: The tag of a hundredth of the jobs, for orders to many, and how many a second these must reach.
MANY, PER_SECOND = "region-17", 2_000

JSON, HTML = "application/json", "text/html"
#: Each for a program, and for a browser where there is a page.
LISTS = [
    *(
        f"/jobs{asked}"
        for asked in (
            "", "?sort=-jobid", "?sort=jobname", "?sort=nextrun", "?cursor=500000",
            "?search=customer+4711", "?search=no+such+name", "?search=e", "?search=host-17.example",
            "?search=ion-9", "?search=customer+4711&sort=-duration", "?search=customer+4711&sort=schedule",
            "?name=customer+4711", "?name=er", "?tag=region-17", "?tag=none",
            "?state=active", "?state=paused", "?state=failing", "?state=running", "?state=overdue",
            "?state=completed", "?state=deleted", "?laststatus=failed", "?laststatus=finished",
            "?laststatus=running", "?laststatus=pending", "?tag=region-17&state=failing",
            "?search=zq", "?name=zq", "?search=*/7", "?search=0+13", "?state=paused&sort=-lastrun",
            "?tag=plan-1&laststatus=finished", "?search=e&laststatus=finished", "?tag=region-17&sort=lastrun",
            "?name=billing&sort=jobname", "?name=customer+4711&sort=nextrun", "?state=active&sort=nextrun",
            "?laststatus=failed&sort=jobname", "?tag=region-17&sort=jobname", "?tag=plan-1&sort=nextrun",
        )
    ),
    *(
        f"/logs{asked}"
        for asked in (
            "", "?status=failed", "?status=pending", "?status=running", "?status=skipped", "?status=finished",
            "?host=host-5.example.com", "?host=none.example.com", "?tag=region-17", "?tag=none",
            "?tag=region-17&status=failed", "?cause=manual", "?cause=schedule", "?minduration=5",
            "?name=billing", "?sort=ended", "?sort=ended&tag=region-17", "?sort=duration",
            "?sort=duration&tag=region-17", "?sort=nextrun", "?sort=nextrun&tag=region-17",
        )
    ),
]  # fmt: skip
PLACES = [
    "/overview",
    "/upcoming",
    "/upcoming?name=billing",
    "/upcoming?tag=region-17",
    "/jobs/1",
    "/jobs/4711",
    "/jobs/5000",
    "/jobs/1/days",
    "/jobs/1?form=true",
    "/performance",
    "/issues",
    "/alerts",
    "/audit",
]
#: What somebody asks for who sees one project.
OF_PROJECT = [
    *(
        f"/jobs{asked}"
        for asked in (
            "", "?sort=-jobid", "?sort=jobname", "?sort=nextrun", "?cursor=500000", "?search=customer+4711",
            "?search=e", "?tag=region-17", "?state=active", "?state=active&sort=nextrun", "?state=paused",
            "?state=failing", "?state=running", "?state=overdue", "?laststatus=finished",
            "?laststatus=finished&sort=jobname",
        )
    ),
    *(
        f"/logs{asked}"
        for asked in (
            "", "?status=failed", "?status=running", "?status=finished", "?host=host-5.example.com",
            "?tag=region-17", "?cause=manual", "?minduration=5", "?sort=ended", "?sort=duration",
        )
    ),
    "/overview", "/upcoming", "/upcoming?name=billing", "/upcoming?tag=region-17", "/issues", "/performance",
    "/forecast",
]  # fmt: skip
ONLY_JSON = [
    "/jobs/1/logs",
    "/jobs/1/logs?status=failed",
    "/jobs/1/changes",
    "/readyz",
    "/limits",
    "/forecast",
]


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    async with fresh_database(server) as url:
        async with bare_connection(url) as connection:
            await fill(connection, sizes.million, sizes.million)
        rows = await _checked(url, sizes)
        rows += await _passes(url, sizes)
        with programs.admin() as admin:
            began = perf_counter()
            async with programs.service(url, {"SCHEDULER_TICKER": "off", **admin.settings}) as port:
                started = [perf_counter() - began]
                rows.append(Row("start until it listens", started, "s", sizes.judged(at_most(3))))
                async with _client(port, admin.key) as client:
                    rows += [row async for row in _answers(client, LISTS + PLACES + ONLY_JSON, sizes)]
                    rows += [row async for row in _answers_of_projects(client, port, sizes)]
                    rows += await _readers(client, sizes)
                    rows += await _orders(client, sizes)
        return rows


def _client(port: int, key: str) -> httpx.AsyncClient:
    headers = {"accept": JSON, "authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=f"http://localhost:{port}", headers=headers, timeout=PATIENCE)


async def _checked(url: URL, sizes: Sizes) -> list[Row]:
    """The first job, and a sample of the others, against their schedules."""
    async with service_database(url) as database:
        began = perf_counter()
        first = await _findings(database, [1])
        took = perf_counter() - began
        others = await _findings(database, range(2, sizes.million, SAMPLE))
    return [
        Row(f"check of {sizes.million:,} logs of one job", [took], "s"),
        Row("findings", [first + others], "", exactly(0)),
    ]


async def _findings(database: Database, jobids: Sequence[int]) -> int:
    progress = checking.Progress(io.StringIO())
    return sum([len(report.findings) async for report in checking.check(database, jobids, progress)])


async def _passes(url: URL, sizes: Sizes) -> list[Row]:
    """What runs cost the server beside all that: those that came due within the last minutes."""
    async with service_database(url) as database, bare_connection(url) as connection:
        due = await connection.fetchval("SELECT now()")

        async def run(session: Session, now: datetime, count: int = BATCH) -> int:
            return (await passes.run_pass(session, now, count, due)).claimed

        # What is planned, and read for the first time, is not what runs cost.
        await database.transact(run, 10)
        await connection.execute("CHECKPOINT")
        before = await _spent(connection)
        runs = 0
        while claimed := await database.transact(run):
            runs += claimed
        spent = [after - early for early, after in zip(before, await _spent(connection), strict=True)]
    wal, images, seconds = (one / runs for one in spent)
    return [
        Row(f"a pass over {runs:,} due: bytes of WAL a run", [wal], "", sizes.judged(at_most(5_000))),
        Row("pages written whole a run, after a checkpoint", [images], "", sizes.judged(at_most(0.8))),
        Row("processor time of the server a run", [seconds * 1e6], "µs", sizes.judged(at_most(55, " µs"))),
    ]


async def _spent(connection: Any) -> tuple[int, int, float]:
    """Bytes of WAL, pages that it holds whole, and seconds of the processor that others' sessions used."""
    # Sessions tell what they did once a second at most.
    await asyncio.sleep(1.5)
    wal, images = await connection.fetchrow("SELECT wal_bytes::bigint, wal_fpi FROM pg_stat_wal")
    pids = await connection.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    ticks = 0
    for (pid,) in pids:
        # Behind the name, the twelfth and the thirteenth are ticks in user mode and in the kernel: proc(5).
        used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(used[11]) + int(used[12])
    return wal, images, ticks / os.sysconf("SC_CLK_TCK")


async def _answers(
    client: httpx.AsyncClient, paths: Sequence[str], sizes: Sizes, who: str = ""
) -> AsyncIterator[Row]:
    for path in paths:
        for accept in (JSON,) if path in ONLY_JSON else (HTML,) if "form=" in path else (JSON, HTML):
            waits = list[float]()
            # The first reader of all pays for caches.
            for _ in range(1 + TRIES):
                began = perf_counter()
                response = await client.get(path, headers={"accept": accept})
                waits.append((perf_counter() - began) * 1000)
                if response.status_code != httpx.codes.OK:
                    waits = [float("inf")]
                    break
            what = f"{who}{'page' if accept == HTML else 'JSON'} {path}"
            yield Row(what, waits[1:] or waits, "ms", sizes.judged(at_most(SLOWEST, " ms")))


async def _answers_of_projects(client: httpx.AsyncClient, port: int, sizes: Sizes) -> AsyncIterator[Row]:
    """What those wait for who see one project."""
    for project in PROJECTS:
        asked = {"name": project, "role": "viewer", "project": project}
        key: str = (await client.post("/keys", json=asked)).raise_for_status().json()["key"]
        async with _client(port, key) as reader:
            async for row in _answers(reader, OF_PROJECT, sizes, f"{project}: "):
                yield row


async def _readers(client: httpx.AsyncClient, sizes: Sizes) -> list[Row]:
    """The list, for many browsers at once."""

    async def read() -> bool:
        response = await client.get("/jobs", headers={"accept": HTML})
        return response.status_code == httpx.codes.OK

    began = perf_counter()
    done = await asyncio.gather(*(read() for _ in range(READERS * TRIES)))
    rate = len(done) / (perf_counter() - began)
    return [
        Row(f"page /jobs for {READERS * TRIES} at once", [rate], "/s"),
        Row("of these answered", [sum(done) / len(done)], "", sizes.judged(exactly(1))),
    ]


async def _orders(client: httpx.AsyncClient, sizes: Sizes) -> list[Row]:
    """Orders to all jobs of a tag, and the end of the one with a past."""
    rows = list[Row]()
    for action in ("pause", "resume", "run", "delete"):
        order = {"action": action, "filter": {"tag": MANY}}
        began = perf_counter()
        # Whoever has not done with all of them says so, and is asked again.
        response = await client.post("/jobs/bulk", json=order)
        done: int = response.raise_for_status().json()["done"]
        rate = done / (perf_counter() - began)
        rows.append(Row(f"{action} {done:,} jobs", [rate], "/s", sizes.judged(at_least(PER_SECOND, "/s"))))
    began = perf_counter()
    response = await client.delete("/jobs/1", params={"history": "remove"})
    response.raise_for_status()
    waited = (perf_counter() - began) * 1000
    rows.append(Row("delete the one with a past", [waited], "ms", sizes.judged(at_most(SLOWEST, " ms"))))
    return rows
