"""Metrics of this process, for Prometheus: what it has done since it began, and how long that took.

Those of the whole installation are read from the database when somebody asks: `services/system/gauges.py`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, product
from typing import Protocol
from weakref import WeakValueDictionary

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from scheduler_api.schedule import Reason, Status

# A series more for each, that says when the process began.
disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

#: Seconds: from what nobody notices to what somebody has to look after.
DELAYS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
CALLS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
PASSES = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

#: What runs are caused by; and why occurrences have none, beside the reasons why some are skipped.
CAUSES, COALESCED = ("schedule", "manual", "backfill", "after"), "coalesced"

RUNS = Counter(
    "scheduler_runs",
    "Runs that finished or failed, by status and by what caused them.",
    ["status", "cause"],
    registry=REGISTRY,
)
MISSED = Counter(
    "scheduler_missed",
    "Occurrences that got no run of their own, by reason; `coalesced`: one run stood for several.",
    ["reason"],
    registry=REGISTRY,
)
CALL = Histogram(
    "scheduler_call_seconds",
    "How long requests to targets took, by outcome.",
    ["outcome"],
    buckets=CALLS,
    registry=REGISTRY,
)
PASS = Histogram(
    "scheduler_pass_seconds",
    "How long passes over due runs took, each of them a transaction.",
    buckets=PASSES,
    registry=REGISTRY,
)
# A counter that is first seen with 5 has not increased, for Prometheus: so all begin at 0.
for _reason in (*Reason, COALESCED):
    MISSED.labels(_reason)
for _status, _cause in product((Status.FINISHED, Status.FAILED), CAUSES):
    RUNS.labels(_status, _cause)
for _outcome in ("finished", "failed", "accepted"):
    CALL.labels(_outcome)
ALERTS = Counter(
    "scheduler_alerts",
    "Alerts that channels took, did not take, or that were given up (`dead`), by kind of channel.",
    ["channel", "outcome"],
    registry=REGISTRY,
)
LEASES_LOST = Counter(
    "scheduler_leases_lost",
    "Runs that were taken away from this process while it made their request: cancelled, or taken over.",
    registry=REGISTRY,
)
LOOP_LAG = Histogram(
    "scheduler_loop_lag_seconds",
    "How late the event loop was, looked at twice a second.",
    buckets=PASSES,
    registry=REGISTRY,
)


class Delays(Collector):
    """A histogram of many values at a time: one by one, with a lock for each, they would cost too much."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float]) -> None:
        self._name, self._documentation, self._bounds = name, documentation, bounds
        self._counts, self._sum = [0] * (len(bounds) + 1), 0.0

    def add(self, seconds: Sequence[float]) -> None:
        """Observe these."""
        for one in seconds:
            self._counts[bisect_left(self._bounds, one)] += 1
        self._sum += sum(seconds)

    def collect(self) -> Iterable[Metric]:
        """How many were no longer than each bound."""
        bounds = [*map(str, map(float, self._bounds)), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        found = HistogramMetricFamily(self._name, self._documentation)
        found.add_metric([], buckets, self._sum)
        yield found


START_DELAY = Delays("scheduler_start_delay_seconds", "How long after they were due runs began.", DELAYS)
REGISTRY.register(START_DELAY)


class Pool(Protocol):
    """A pool of connections, such as SQLAlchemy's."""

    def checkedout(self) -> int:
        """How many connections are in use."""
        ...

    def checkedin(self) -> int:
        """How many wait for somebody to use them."""
        ...


class Pools(Collector):
    """How many connections there are to the database."""

    def __init__(self) -> None:
        self._pools: WeakValueDictionary[str, Pool] = WeakValueDictionary()

    def watch(self, name: str, pool: Pool) -> None:
        """Tell of a pool, instead of an earlier one of that name, as long as it is there."""
        self._pools[name] = pool

    def collect(self) -> Iterable[Metric]:
        """The connections of each pool."""
        found = GaugeMetricFamily(
            "scheduler_pool_connections", "Connections to the database.", labels=["pool", "state"]
        )
        for name, pool in sorted(self._pools.items()):
            found.add_metric([name, "in use"], pool.checkedout())
            found.add_metric([name, "idle"], pool.checkedin())
        yield found


POOLS = Pools()
REGISTRY.register(POOLS)
