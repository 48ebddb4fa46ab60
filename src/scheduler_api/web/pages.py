"""The pages: what each shows, from the same contracts that the API answers with."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scheduler_api import __version__
from scheduler_api.contracts import (
    Change,
    Ending,
    Explanation,
    Job,
    JobWithLogs,
    Log,
    LogCause,
    LogStatus,
    LogWithAttempts,
    Method,
    NewSecret,
    Occurrence,
    Problem,
    SchedulePreview,
    Secret,
    State,
    Target,
    TestAnswer,
)
from scheduler_api.errors import Flaw
from scheduler_api.schedule import Fold, Gap, Misfire, zone_names
from scheduler_api.web import bars, filters, words

HERE = Path(__file__).parent
STATIC = HERE / "static"

#: How far ahead the form's suggested start lies.
SUGGESTED_START = timedelta(minutes=1)

COUNT = re.compile(r"\d{1,18}", re.ASCII)

MISFIRES = {
    Misfire.ONCE: "run once for all that were missed",
    Misfire.ALL: "run each of them, in order",
    Misfire.SKIP: "skip those later than the grace period",
}
GAPS = {Gap.AFTER: "run right after a jump", Gap.SKIP: "skip what a jump leaves out"}
ENDINGS = {
    Ending.FINISHED: "those that finished",
    Ending.FAILED: "those that failed",
    Ending.ANY: "all of them",
}
FOLDS = {Fold.ONCE: "run once, the first time", Fold.BOTH: "run both times"}
#: What the form suggests for a target: what holds if nothing is said.
TARGET = {
    "target_method": Method.POST.value,
    "target_timeout": str(Target.model_fields["timeout"].default),
    "target_success": " ".join(Target.model_fields["success"].get_default(call_default_factory=True)),
    "target_retries": str(Target.model_fields["retries"].default),
}
#: Some cron expressions to choose from.
CRONS = {
    "@hourly": "every hour",
    "@daily": "every day at midnight",
    "*/15 * * * *": "every 15 minutes",
    "30 2 * * *": "every day at 02:30",
    "0 9 * * MON-FRI": "at 09:00 on weekdays",
    "0 12 L * *": "at noon on the last day of the month",
}


class Pages:
    """Renders pages. One object per application, as they tell of its configuration."""

    def __init__(self, *, open_to_all: bool = False) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(open_to_all=open_to_all, version=__version__, words=words, bars=bars)

    def jobs(
        self, now: datetime, listing: Sequence[Job], further: str | None, query: Mapping[str, str]
    ) -> str:
        """The list of jobs, with its filters, and a notice of what was just done."""
        narrowed = filters.given(query, filters.OF_JOBS)
        kept = filters.given(query, filters.KEPT_OF_JOBS)
        first = "after" not in query
        return self._render(
            "jobs.html",
            now=now,
            soon=now + SUGGESTED_START,
            jobs=listing,
            further=further,
            notice=_notice(query) if first else None,
            first=first,
            filters=narrowed,
            kept=kept,
            start=filters.address("/jobs", narrowed | kept),
            states=list(State),
            statuses=list(LogStatus),
        )

    def runs(
        self,
        now: datetime,
        found: Sequence[Log],
        named: Mapping[int, Mapping[str, Any]],
        further: str | None,
        query: Mapping[str, str],
        span: tuple[datetime | None, datetime | None],
        failed: int | None = None,
    ) -> str:
        """The logs of all jobs, with their filters; `failed`: how many can be tried again."""
        narrowed = filters.given(query, filters.OF_RUNS)
        kept = filters.given(query, filters.KEPT_OF_RUNS)
        first = "before" not in query
        return self._render(
            "runs.html",
            now=now,
            # The job of a log may have been removed a moment ago, with all its logs.
            rows=[(log, named[log.jobid]) for log in found if log.jobid in named],
            further=further,
            notice=_notice(query) if first else None,
            first=first,
            filters=narrowed,
            kept=kept,
            span=dict(zip(("since", "until"), span, strict=True)),
            start=filters.address("/logs", narrowed | kept),
            statuses=list(LogStatus),
            causes=list(LogCause),
            failed=failed,
        )

    def job(
        self,
        now: datetime,
        shown: JobWithLogs,
        older: str | None,
        first: bool,
        upcoming: Sequence[Occurrence] = (),
        changes: Sequence[Change] = (),
        trouble: str | None = None,
        secrets: Sequence[Secret] = (),
    ) -> str:
        """A job with its next runs, logs, changes and secrets; `trouble` is what is wrong with it."""
        return self._render(
            "job.html",
            now=now,
            job=shown.job,
            logs=shown.logs,
            older=older,
            first=first,
            misfires=MISFIRES,
            gaps=GAPS,
            folds=FOLDS,
            upcoming=upcoming,
            changes=changes,
            trouble=trouble,
            secrets=secrets,
        )

    def explanation(self, now: datetime, job: Job, answer: Explanation) -> str:
        """Why a job did, or did not, run."""
        return self._render("explain.html", now=now, job=job, answer=answer)

    def log(self, now: datetime, job: Job, found: LogWithAttempts) -> str:
        """A log: how its run stands, its attempts, and what they told."""
        totals = [one.timing.get("total", 0.0) for one in found.attempts if one.timing]
        return self._render(
            "log.html",
            now=now,
            job=job,
            log=found.log,
            attempts=found.attempts,
            latest=found.attempts[-1] if found.attempts else None,
            lines=found.lines,
            longest=max(totals, default=0.0),
        )

    def test(self, now: datetime, job: Job, answer: TestAnswer) -> str:
        """What a job's target answered to a test."""
        return self._render("test.html", now=now, job=job, answer=answer)

    def secret(self, now: datetime, job: Job, secret: NewSecret) -> str:
        """A new secret, shown this once, and what its receiver does with it."""
        return self._render("secret.html", now=now, job=job, secret=secret)

    def form(
        self,
        now: datetime,
        fields: Mapping[str, str] | None = None,
        flaws: Sequence[Flaw] = (),
        preview: SchedulePreview | None = None,
        *,
        previewing: bool = False,
    ) -> str:
        """The form for a job: fresh, or with what was typed, what it means, and what is wrong with it."""
        messages: dict[str, list[str]] = {}
        for flaw in flaws:
            texts = messages.setdefault(_field(flaw.path), [])
            if flaw.detail not in texts:
                texts.append(flaw.detail)
        return self._render(
            "form.html",
            now=now,
            values=_suggestions(now) if fields is None else fields,
            messages=messages,
            misfires=MISFIRES,
            gaps=GAPS,
            folds=FOLDS,
            crons=CRONS,
            endings=ENDINGS,
            methods=list(Method),
            preview=preview,
            preview_failed=previewing and bool(flaws),
            zones=sorted(zone_names()),
        )

    def error(self, problem: Problem) -> str:
        """A problem, for people."""
        return self._render("error.html", problem=problem)

    def documentation(self) -> str:
        """The interactive API documentation."""
        return self._render("swagger.html")

    def _render(self, template: str, **context: object) -> str:
        return self._templates.get_template(template).render(context)


def _field(path: Sequence[str | int]) -> str:
    """The form's field that shows what is wrong at a place in a job."""
    name, *inner = path or ("",)
    first_inside = {"target": "url", "after": "jobid"}
    if name not in first_inside:
        return str(name)
    return f"{name}_{inner[0] if inner else first_inside[str(name)]}"


def _suggestions(now: datetime) -> dict[str, str]:
    start = now + SUGGESTED_START
    return {
        "startdate": f"{start:%Y-%m-%d}",
        "starttime": f"{start:%H:%M:%S}",
        "timezone": "UTC",
        "active": "true",
        "misfire": Misfire.ONCE,
        "grace": "60",
        "dstgap": Gap.AFTER,
        "dstfold": Fold.ONCE,
        **TARGET,
    }


def _notice(query: Mapping[str, str]) -> str | None:
    """What a redirect to a list has to tell. Only numbers are taken from the address."""
    counts = {name: int(value) for name, value in query.items() if COUNT.fullmatch(value)}
    if "created" in counts:
        return f"Job {counts['created']} was created."
    if "deleted" in counts:
        return f"Job {counts['deleted']} was deleted."
    if "retried" in counts:
        left = " It took long: some are left, so ask again." if "left" in counts else ""
        one = counts["retried"] == 1
        return f"{counts['retried']:,} {'run is' if one else 'runs are'} tried again.{left}"
    if "finished" not in counts:
        return None
    parts = [f"{counts[name]} {name}" for name in ("finished", "failed", "skipped") if counts.get(name)]
    return f"Ran what was due: {', '.join(parts)}." if parts else "Nothing was due."
