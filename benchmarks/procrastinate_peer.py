"""procrastinate with the same jobs: `python -m benchmarks.procrastinate_peer DSN JOBS SECONDS`.

A periodic task of its own for each job would start half a second late by design, and would cost a
transaction each to be deferred. So one periodic task defers all jobs of a second at once, ahead of time:
for the full second that comes next, and before anything that waits. One worker does both; it looks for
jobs many times a second, and has as many connections as it may run jobs at once. The planner is told what
the table of jobs is like as soon as there are any, which autovacuum does within a minute: without that, a
tenth as many start.
"""

import asyncio
import contextlib
import json
import logging
import math
import sys
import time
from datetime import UTC, datetime
from statistics import quantiles

import uvloop
from procrastinate import App, PsycopgConnector
from procrastinate.types import JSONDict

#: Jobs at once. More make it no faster: it fetches one at a time.
CONCURRENCY = 10
#: Seconds between two looks. What is deferred for later is announced when it is deferred, not when it is due.
LOOK = 0.02
#: Seconds for the worker to get going; for the last runs to start, as the others have.
AHEAD, AFTER = 3, 2
FIRST_OF_ALL = 1

started: list[tuple[int, float]] = []


def application(address: str, jobs: int, first: int) -> App:
    """Whose jobs are due each second, from `first` on."""
    connector = PsycopgConnector(conninfo=address, min_size=CONCURRENCY, max_size=CONCURRENCY + 2)
    app = App(connector=connector)

    @app.task(name="note")
    async def note(number: int, due: int) -> None:  # noqa: ARG001 - each job has a number
        """The job: it does nothing but say when."""
        started.append((due, time.time()))

    @app.periodic(cron="* * * * * *")
    @app.task(name="promise", priority=FIRST_OF_ALL)
    async def promise(timestamp: int) -> None:
        due = timestamp + 1
        if due >= first:
            deferrer = note.configure(schedule_at=datetime.fromtimestamp(due, UTC))
            arguments: list[JSONDict] = [{"number": number, "due": due} for number in range(jobs)]
            await deferrer.batch_defer_async(*arguments)
        if due == first:
            await connector.execute_query_async("ANALYZE procrastinate_jobs")

    return app


async def measure(address: str, jobs: int, seconds: int) -> dict[str, float]:
    first = math.ceil(time.time()) + AHEAD
    async with application(address, jobs, first).open_async() as app:
        await app.schema_manager.apply_schema_async()
        worker = asyncio.create_task(
            app.run_worker_async(
                concurrency=CONCURRENCY,
                fetch_job_polling_interval=LOOK,
                install_signal_handlers=False,
                shutdown_graceful_timeout=AFTER,
            )
        )
        await asyncio.wait([worker], timeout=first + seconds + AFTER - time.time())
        seen = _seen(first, seconds)
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
    return seen


def _seen(first: int, seconds: int) -> dict[str, float]:
    late = [(instant - due) * 1000 for due, instant in started if first <= due < first + seconds]
    percentiles = quantiles(late, n=100)
    return {"runs": len(late), "p50": percentiles[49], "p99": percentiles[98]}


def main() -> None:
    address, jobs, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    logging.disable(logging.CRITICAL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(measure(address, jobs, seconds)), sys.stdout)


if __name__ == "__main__":
    main()
