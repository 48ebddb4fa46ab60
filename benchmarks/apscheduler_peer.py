"""APScheduler 3 with the same jobs: `python -m benchmarks.apscheduler_peer STORE-URL JOBS SECONDS`.

Its settings are those under which it drops nothing: no run is too late, none is merged with another, and
a job may run beside itself. So a job's n-th start is that of its n-th occurrence.
"""

import json
import logging
import math
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any

from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

NEVER_DROPPED = {"misfire_grace_time": None, "coalesce": False, "max_instances": 1_000}
#: Seconds a thousand jobs may take to be written down before their first instant.
AHEAD, AFTER = 6, 2

started: list[tuple[int, float]] = []


def note(number: int) -> None:
    """The job: it does nothing but say when."""
    started.append((number, time.time()))


def main() -> None:
    address, jobs, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    logging.disable(logging.CRITICAL)
    store = SQLAlchemyJobStore(url=address) if address else MemoryJobStore()
    scheduler = BackgroundScheduler(jobstores={"default": store}, job_defaults=NEVER_DROPPED, timezone=UTC)
    scheduler.start(paused=True)
    first = math.ceil(time.time()) + AHEAD
    _add(scheduler, jobs, datetime.fromtimestamp(first, UTC))
    if time.time() > first:
        raise RuntimeError("the jobs were not written down before their first instant")
    scheduler.resume()
    time.sleep(first + seconds + AFTER - time.time())
    scheduler.shutdown(wait=False)
    json.dump(_seen(first, seconds), sys.stdout)
    sys.stdout.flush()


def _add(scheduler: Any, jobs: int, first: datetime) -> None:
    for number in range(jobs):
        scheduler.add_job(
            note,
            "interval",
            args=[number],
            seconds=1,
            start_date=first,
        )


def _seen(first: float, seconds: int) -> dict[str, float]:
    starts: dict[int, list[float]] = defaultdict(list)
    for number, instant in sorted(started, key=lambda start: start[1]):
        starts[number].append(instant)
    late = [
        (instant - first - occurrence) * 1000
        for instants in starts.values()
        for occurrence, instant in enumerate(instants[:seconds])
    ]
    percentiles = quantiles(late, n=100)
    return {"runs": len(late), "p50": percentiles[49], "p99": percentiles[98]}


if __name__ == "__main__":
    main()
