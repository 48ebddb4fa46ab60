"""Pages of jobs: their list, one of them, the form, orders to many, calendars."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_api.contracts.history.backfill import BackfillReport
from scheduler_api.contracts.history.explanation import Explanation
from scheduler_api.contracts.history.timeline import DayTally, TimeRange
from scheduler_api.contracts.jobs.bulk import BulkOrder, BulkReport
from scheduler_api.contracts.jobs.calendars import Calendar, CalendarDraft, CalendarReport, CalendarSummary
from scheduler_api.contracts.jobs.changes import Change
from scheduler_api.contracts.jobs.job import Condition, Job, JobSort, JobSummary, LastStatus
from scheduler_api.contracts.jobs.schedules import Occurrence
from scheduler_api.contracts.jobs.secrets import NewSecret
from scheduler_api.contracts.runs.attempts import TestAnswer
from scheduler_api.contracts.runs.logs import JobWithLogs, Log, LogStatus
from scheduler_api.errors import FieldError
from scheduler_api.schedule import zone_names
from scheduler_api.services.jobs import undoing
from scheduler_api.services.jobs.reading import DEEDS, MAX_COUNTED
from scheduler_api.services.runs import monitoring
from scheduler_api.services.views import JobsView, JobView
from scheduler_api.web import charts, filters, form, glance
from scheduler_api.web.form import Typed
from scheduler_api.web.pages.rendering import SIZES, Renderer
from scheduler_api.wording import jobs, notices

#: For how long what was done can be undone from where it was: later, it is no slip any more.
FRESH = timedelta(minutes=10)


class Told(NamedTuple):
    """What is known of the job of which an address tells that something was done to it."""

    names: Mapping[int, str]
    deed: Change | None
    """What was done to it last."""


def _is_fresh(query: Mapping[str, str], deed: Change | None, now: datetime) -> bool:
    """Whether what an address tells of was done just now, and nothing since. Anybody can write an address."""
    return deed is not None and deed.action in query and now - deed.at < FRESH


def _notice(view: JobView, query: Mapping[str, str]) -> notices.Notice | None:
    """What was just done to a job."""
    job = view.job.job
    deed = next((change for change in view.changes if change.action in DEEDS), None)
    can_undo = _is_fresh(query, deed, view.now)
    if can_undo and "edited" in query:
        can_undo = deed is not None and undoing.is_undoable(deed, job, view.now)
    told = notices.notice(query, {job.jobid: job.jobname}, can_undo=can_undo)
    return told and told._replace(version=job.version)


def _failing(shown: JobWithLogs) -> Log | None:
    """The run with which a job has begun to fail, or goes on to."""
    if shown.job.laststatus != "failed":
        return None
    return next((log for log in shown.logs if log.status is LogStatus.FAILED), None)


class JobPages(Renderer):
    """Pages of jobs: their list, one of them, the form, orders to many, calendars."""

    def jobs(
        self,
        view: JobsView,
        further: str | None,
        earlier: str | None,
        query: Mapping[str, str],
        limit: int,
        told: Told,
    ) -> str:
        """The list of jobs with their newest runs, filters, and a notice of what was just done.

        `further` leads on, and `earlier` is the place after which the page before it begins.
        """
        now, times = view.now, self._reader.times
        narrowed = filters.given(query, filters.OF_JOBS)
        kept = filters.given(query, filters.KEPT_OF_JOBS)
        first = "cursor" not in query
        # An edit is undone from the page of its job, which knows the version.
        can_undo = "edited" not in query and _is_fresh(query, told.deed, now)
        return self._render(
            "jobs.html",
            now=now,
            rows=[glance.row_of(job, view.recent.get(job.jobid, ()), now, times) for job in view.found.jobs],
            count=view.found.matching,
            number=jobs.number(view.found.matching, MAX_COUNTED),
            further=further,
            notice=notices.notice(query, told.names, can_undo=can_undo) if first else None,
            first=first,
            tags=[(one, filters.address("/jobs", narrowed | kept | {"tag": one.tag})) for one in view.tags],
            paused=() if "pauseid" in narrowed else view.paused,
            filters=narrowed,
            kept=kept,
            start=filters.address("/jobs", narrowed | kept),
            sort=query.get("sort", JobSort.JOBID),
            before=None
            if earlier is None
            else filters.address("/jobs", narrowed | kept | {"cursor": earlier}),
            number_of_first=view.bearings and view.bearings.number,
            sorts={by: filters.address("/jobs", narrowed | kept | {"sort": by}) for by in JobSort},
            limit=limit,
            sizes={size: filters.address("/jobs", narrowed | kept | {"limit": str(size)}) for size in SIZES},
            states=list(Condition),
            statuses=list(LastStatus),
        )

    def confirmation(
        self,
        order: BulkOrder,
        count: int,
        jobids: Sequence[int],
        named: Mapping[int, str],
        back: str,
        field_errors: Sequence[FieldError] = (),
        *,
        again: bool,
    ) -> str:
        """What an order to many jobs would do, and to how many; `again`: their number has changed."""
        given = {"order": order, "count": count, "jobids": jobids, "named": named, "back": back}
        return self._render("confirm.html", **given, errors=[e.detail for e in field_errors], again=again)

    def bulk(self, order: BulkOrder, report: BulkReport, named: Mapping[int, str], back: str) -> str:
        """What an order to many jobs did; `named`: those with which it could not be done."""
        return self._render("bulk.html", order=order, report=report, named=named, back=back)

    def job(
        self,
        view: JobView,
        older: str | None,
        upcoming: Sequence[Occurrence],
        issue: str | None,
        query: Mapping[str, str],
    ) -> str:
        """A job with its next runs, logs, changes and secrets, and a notice of what was just done.

        `issue` is what is wrong with it.
        """
        now, shown, timeline = view.now, view.job, view.timeline
        zone = self._reader.times.zone(shown.job.timezone)
        return self._render(
            "job.html",
            now=now,
            job=shown.job,
            notice=_notice(view, query) if view.is_first else None,
            logs=shown.logs,
            older=older,
            first=view.is_first,
            misfires=form.MISFIRES,
            gaps=form.GAPS,
            folds=form.FOLDS,
            records=form.RECORDS,
            upcoming=upcoming,
            changes=view.changes,
            issue=issue,
            secrets=view.secrets,
            open_issues=view.issues,
            watched=jobs.watched(shown.job),
            rules=view.rules,
            monitor=view.monitortoken and monitoring.monitor_address(view.monitortoken, self._base),
            timeline=timeline,
            results=timeline and charts.results(timeline.buckets, timeline.width, zone),
            durations=timeline and charts.durations(timeline, zone),
            spans=list(TimeRange),
            glanced=glance.row_of(shown.job, (), now, self._reader.times),
            a_day=timedelta(days=1),
            failing=_failing(shown) if view.is_first else None,
            definition=form.definition(shown.job),
        )

    def explanation(self, now: datetime, job: JobSummary, answer: Explanation) -> str:
        """Why a job did, or did not, run."""
        return self._render("explain.html", now=now, job=job, answer=answer)

    def backfill(
        self,
        job: JobSummary,
        zone: str,
        given: Mapping[str, str],
        report: BackfillReport | None = None,
        field_errors: Sequence[FieldError] = (),
    ) -> str:
        """What a backfill would run, or what is wrong with it, beside what was typed."""
        return self._render(
            "backfill.html",
            job=job,
            zone=zone,
            given=given,
            report=report,
            field_errors=field_errors,
            labels={"since": "From: ", "until": "To: "},
        )

    def days(self, job: JobSummary, found: Sequence[DayTally], further: str | None, *, is_first: bool) -> str:
        """What became of a job's runs, day by day."""
        return self._render("days.html", job=job, found=found, further=further, first=is_first)

    def test(self, now: datetime, job: JobSummary, answer: TestAnswer) -> str:
        """What a job's target answered to a test."""
        return self._render("test.html", now=now, job=job, answer=answer)

    def secret(self, now: datetime, job: JobSummary, secret: NewSecret) -> str:
        """A new secret, shown this once, and what its receiver does with it."""
        return self._render("secret.html", now=now, job=job, secret=secret)

    def form(
        self,
        now: datetime,
        typed: Typed | None = None,
        *,
        editing: Job | None = None,
        like: Job | None = None,
    ) -> str:
        """The form for a job: fresh, of the job that it edits, or like another one.

        Or with what was typed into it, what that means, what it would change, and what is wrong with it.
        """
        if typed is None:
            values = form.fields_for(now, self._reader.times.mine or "UTC", editing, like)
            values.setdefault("project", self._reader.project)
            typed = Typed(values)
        else:
            values = form.with_kind(typed.fields)
        return self._render(
            "form.html",
            now=now,
            values=values,
            editing=editing,
            messages=form.messages(typed.field_errors, values.get("kind")),
            choices=form,
            preview=typed.preview,
            change=typed.change,
            previewing=typed.previewing,
            meanwhile=typed.meanwhile,
            zones=sorted(zone_names()),
        )

    def calendars(
        self,
        found: Sequence[CalendarSummary],
        fields: Mapping[str, str],
        field_errors: Sequence[FieldError],
        query: Mapping[str, str],
    ) -> str:
        """All calendars, and the form for a new one, with what was typed and what is wrong with it."""
        return self._render(
            "calendars.html",
            found=found,
            calendar=None,
            fields=fields,
            messages=form.messages(field_errors, None),
            notice=notices.notice(query, {}),
        )

    def calendar(
        self,
        found: Calendar,
        users: Mapping[int, str],
        fields: Mapping[str, str],
        query: Mapping[str, str],
    ) -> str:
        """A calendar, the jobs that go by it, and the form that changes it."""
        return self._render(
            "calendar.html",
            calendar=found,
            users=users,
            fields=fields,
            messages={},
            notice=notices.notice(query, {}),
        )

    def calendar_change(self, report: CalendarReport, draft: CalendarDraft) -> str:
        """What a change of a calendar would do, to confirm."""
        return self._render("calendar_change.html", report=report, draft=draft)
