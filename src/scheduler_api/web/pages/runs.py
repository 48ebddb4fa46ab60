"""Pages of runs: what has run, what is to come, how jobs did."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from scheduler_api.contracts.history.forecast import Forecast
from scheduler_api.contracts.history.performance import Performance, PerformanceSort
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.jobs.schedules import Upcoming
from scheduler_api.contracts.runs.attempts import LogWithAttempts
from scheduler_api.contracts.runs.logs import LogCause, LogSort, LogStatus
from scheduler_api.contracts.runs.retries import RetryFilter
from scheduler_api.contracts.system.overview import Overview
from scheduler_api.services.history.upcoming import Listed, Window
from scheduler_api.services.views import RunsView
from scheduler_api.web import attention, charts, filters, heat, requests
from scheduler_api.web.filters import named_views
from scheduler_api.web.pages.rendering import SIZES, Renderer
from scheduler_api.wording import notices

#: Seconds of a stretch in the overview's chart.
OVERVIEW_STRETCH = 1800


class RunPages(Renderer):
    """Pages of runs: what has run, what is to come, how jobs did."""

    def runs(self, view: RunsView, further: str | None, query: Mapping[str, str]) -> str:
        """The runs of all jobs, with their filters."""
        narrowed = filters.given(query, filters.OF_RUNS)
        kept = filters.given(query, filters.KEPT_OF_RUNS)
        asked = narrowed | kept
        first = "cursor" not in query
        zone = self._reader.times.zone()
        is_ahead = view.sort is LogSort.NEXTRUN
        # What is to come and what has run have these in common.
        shared = {name: asked[name] for name in asked if name not in {"status", "sort"}}
        return self._render(
            "runs.html",
            now=view.now,
            zone=zone,
            # The job of a log may have been removed a moment ago, with all its logs.
            rows=[(log, view.names[log.jobid]) for log in view.found.logs if log.jobid in view.names],
            searched=view.found.until,
            further=further,
            notice=notices.notice(query, {}) if first else None,
            first=first,
            filters=narrowed,
            kept=kept,
            more=not filters.MORE_OF_RUNS.isdisjoint(narrowed),
            span={"since": view.wanted.since, "until": view.wanted.until},
            start=filters.address("/logs", asked),
            is_ahead=is_ahead,
            tabs={
                "History": (filters.address("/logs", shared), not is_ahead),
                "Scheduled": (filters.address("/logs", shared | {"status": "pending"}), is_ahead),
            },
            sort=view.sort.value,
            by={
                sort.value: filters.address("/logs", {**narrowed, **kept, "sort": sort.value})
                for sort in (LogSort.ENDED, LogSort.DURATION)
            },
            views=[(label, filters.address("/logs", named)) for label, named in named_views(view.now, zone)],
            limit=view.limit,
            sizes={size: filters.address("/logs", asked | {"limit": str(size)}) for size in SIZES},
            statuses=[status for status in LogStatus if status is not LogStatus.PENDING],
            causes=list(LogCause),
            failed=view.failed,
            retrying={name: getattr(view.wanted, name) for name in RetryFilter.model_fields},
        )

    def log(self, now: datetime, job: Job, found: LogWithAttempts) -> str:
        """A log: how its run stands, its attempts, and its output."""
        totals = [one.timing.get("total", 0.0) for one in found.attempts if one.timing]
        return self._render(
            "log.html",
            now=now,
            job=job,
            log=found.log,
            attempts=found.attempts,
            traceid=found.traceid,
            latest=found.attempts[-1] if found.attempts else None,
            lines=found.lines,
            longest=max(totals, default=0.0),
            request=requests.shown(job, found.log, found.body),
        )

    def performance(self, found: Performance, sort: PerformanceSort, limit: int, *, is_newest: bool) -> str:
        """How jobs did in a week, with links to other weeks and orders."""
        week = timedelta(days=7)
        end = {} if is_newest else {"until": str(found.until)}
        return self._render(
            "performance.html",
            found=found,
            sort=sort.value,
            sorts={
                one.value: filters.address("/performance", {"sort": one.value, **end})
                for one in PerformanceSort
            },
            earlier=filters.address("/performance", {"sort": sort.value, "until": str(found.since)}),
            later=None
            if is_newest
            else filters.address("/performance", {"sort": sort.value, "until": str(found.until + week)}),
            newest=filters.address("/performance", {"sort": sort.value}),
            last=found.until - timedelta(days=1),
            limit=limit,
            sizes={
                size: filters.address("/performance", {"sort": sort.value, "limit": str(size), **end})
                for size in SIZES
            },
        )

    def upcoming(
        self,
        now: datetime,
        found: Listed[Upcoming],
        load: Forecast,
        window: Window,
        query: Mapping[str, str],
    ) -> str:
        """What runs next, and the load of the next 24 hours; or all that runs in one of them."""
        narrowed = filters.given(query, filters.OF_UPCOMING)
        zone = self._reader.times.zone()
        rest = None
        if window.since is not None and len(found.occurrences) >= window.limit:
            # Others may run at the instant of the last one; or it goes on behind that.
            last = found.occurrences[-1].scheduledfor
            span = {"since": max(last, window.since + timedelta(seconds=1)), "until": window.until}
            asked = narrowed | {name: f"{at:%Y-%m-%dT%H:%M:%SZ}" for name, at in span.items()}
            rest = filters.address("/upcoming", asked)
        return self._render(
            "upcoming.html",
            rest=rest,
            now=now,
            zone=zone,
            filters=narrowed,
            hours=filters.hours_ahead(now, zone, narrowed, window.since),
            whole=filters.address("/upcoming", narrowed),
            found=found.occurrences,
            complete=found.complete,
            load=load,
            heat=heat.heat(load, self._reader.times.zone()),
            notice=notices.notice(query, {}),
            **window._asdict(),
        )

    def overview(self, found: Overview) -> str:
        """How the service as a whole does."""
        zone = self._reader.times.zone()
        return self._render(
            "overview.html",
            now=found.now,
            found=found,
            rows=attention.rows(found.issues),
            results=charts.results(found.timeline, OVERVIEW_STRETCH, zone),
        )
