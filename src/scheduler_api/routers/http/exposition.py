"""Metrics as Prometheus reads them."""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import Response

from scheduler_api.database.system.gauges import JobSeries
from scheduler_api.metrics import REGISTRY
from scheduler_api.services.system.gauges import Gauges, Sizes


class _Families(Collector):
    """Metrics that are known already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def of_process() -> list[Metric]:
    """Those of this process."""
    return list(REGISTRY.collect())


def of_jobs(series: Sequence[JobSeries], *, is_cut: bool) -> list[Metric]:
    """Those of single jobs; `is_cut`: there are more jobs."""
    labels = ["jobid", "jobname", "project"]
    success = GaugeMetricFamily(
        "scheduler_job_last_success_timestamp_seconds", "When a run finished last.", labels=labels
    )
    following = GaugeMetricFamily(
        "scheduler_job_next_run_timestamp_seconds", "When the next run is due.", labels=labels
    )
    failures = GaugeMetricFamily(
        "scheduler_job_consecutive_failures", "How many runs have failed in a row.", labels=labels
    )
    for job in series:
        values = [str(job.jobid), job.jobname, job.project]
        if job.lastsuccess is not None:
            success.add_metric(values, job.lastsuccess.timestamp())
        if job.nextrun is not None:
            following.add_metric(values, job.nextrun.timestamp())
        failures.add_metric(values, job.failures)
    cut = GaugeMetricFamily(
        "scheduler_jobs_left_out", "Whether there are more jobs than were asked for.", value=int(is_cut)
    )
    return [success, following, failures, cut]


def of_sizes(sizes: Sizes | None) -> list[Metric]:
    """What the installation takes on disk; None: nobody knows."""
    if sizes is None:
        return []
    return [
        _gauge("database_bytes", "Size of the database.", sizes.bytes),
        _gauge("history_bytes", "Size of the history of runs.", sizes.history),
    ]


def of_cluster(gauges: Gauges | None) -> list[Metric]:
    """Those of the installation; None: the database does not answer."""
    up = _gauge("up", "Whether the database answers.", 0 if gauges is None else 1)
    if gauges is None:
        return [up]
    jobs = GaugeMetricFamily("scheduler_cluster_jobs", "Jobs by their state.", labels=["state"])
    for state, number in gauges.jobs._asdict().items():
        jobs.add_metric([state], number)
    return [
        up,
        jobs,
        _gauge("due_runs", "Runs that are due and have not begun.", gauges.due),
        _gauge("running_runs", "Runs in progress.", gauges.running),
        _gauge("lag_seconds", "How long the most overdue run has waited.", gauges.lag),
        _gauge("replicas", "Replicas that are connected to the database.", gauges.replicas),
        _gauge("open_issues", "Issues of jobs that are open, counted up to 10,000.", gauges.issues),
        _gauge("outbox_age_seconds", "How long the oldest alert has been waiting.", gauges.outbox),
    ]


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"scheduler_cluster_{name}", what, value=value)


def answer(accept: str, families: Iterable[Metric]) -> Response:
    """Metrics in the format that is asked for."""
    try:
        encode, media_type = choose_encoder(accept)
    except (TypeError, ValueError):
        # A version that is none.
        encode, media_type = choose_encoder("")
    registry = CollectorRegistry()
    registry.register(_Families(families))
    return Response(encode(registry), headers={"Content-Type": media_type})
