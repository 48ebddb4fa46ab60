"""The pages: what each shows, from the same contracts that the API answers with."""

from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scheduler_api import __version__, wording
from scheduler_api.actors import ANYBODY, ActorKind, Principal, Role
from scheduler_api.contracts.access.audit import AuditEvent, AuditObject
from scheduler_api.contracts.access.keys import Key, NewKey
from scheduler_api.contracts.access.projects import Project
from scheduler_api.contracts.access.users import MIN_PASSWORD, Invitation, User
from scheduler_api.contracts.alerts.alerts import Alert, AlertState
from scheduler_api.contracts.alerts.channels import (
    ALLOWED,
    NEEDED,
    Channel,
    ChannelKind,
    NewChannel,
    Rule,
    RulePreview,
)
from scheduler_api.contracts.alerts.issues import IssueState, JobIssue, JobIssueKind
from scheduler_api.contracts.alerts.mutes import Mute
from scheduler_api.contracts.history.backfill import BackfillReport
from scheduler_api.contracts.history.explanation import Explanation
from scheduler_api.contracts.history.forecast import Forecast
from scheduler_api.contracts.history.performance import Performance, PerformanceSort
from scheduler_api.contracts.history.timeline import DayTally, TimeRange
from scheduler_api.contracts.jobs.bulk import BulkOrder, BulkReport
from scheduler_api.contracts.jobs.calendars import Calendar, CalendarDraft, CalendarReport, CalendarSummary
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.jobs.job import Condition, Job, JobSort, JobSummary, LastStatus
from scheduler_api.contracts.jobs.schedules import Occurrence, Upcoming
from scheduler_api.contracts.jobs.secrets import NewSecret, ProjectSecret
from scheduler_api.contracts.runs.attempts import LogWithAttempts, TestAnswer
from scheduler_api.contracts.runs.logs import JobWithLogs, Log, LogCause, LogSort, LogStatus
from scheduler_api.contracts.system.overview import Overview
from scheduler_api.contracts.system.problems import Problem, ProblemKind
from scheduler_api.contracts.values import DEFAULT_PROJECT
from scheduler_api.database.access.sessions import SessionRow
from scheduler_api.errors import FieldError
from scheduler_api.schedule import zone_names
from scheduler_api.services.history.upcoming import Listed, Window
from scheduler_api.services.jobs import undoing
from scheduler_api.services.jobs.reading import MAX_COUNTED
from scheduler_api.services.runs import monitoring
from scheduler_api.services.views import JobsView, JobView, RunsView
from scheduler_api.web import attention, bars, charts, filters, form, glance, heat, requests
from scheduler_api.web.filters import named_views
from scheduler_api.web.form import Typed
from scheduler_api.web.looks import Density, Theme
from scheduler_api.web.times import Times
from scheduler_api.wording import jobs, notices

HERE = Path(__file__).parent
STATIC = HERE / "static"
#: Rows of a page to choose from.
SIZES = (20, 50, 100)
#: Seconds of a stretch in the overview's chart.
OVERVIEW_STRETCH = 1800


class Reader(NamedTuple):
    """Who looks at a page, and how."""

    times: Times
    here: str
    """The address of the page."""
    mark: str = ""
    """The place of the change feed when the page was made."""
    who: Principal | None = None
    """None: nobody knows."""
    shown: str | None = None
    """The project that pages show; None: all."""
    projects: Sequence[str] = ()
    """Those to choose from."""
    issuecount: int = 0
    """How many issues are open."""
    theme: Theme = Theme.SYSTEM
    density: Density = Density.COMPACT

    def may(self, role: str, project: str | None = None) -> bool:
        """Whether what needs that role is shown: in a project; without one, in any."""
        return self.who is not None and self.who.roles.may(Role(role), project)

    def may_everywhere(self, role: str) -> bool:
        """Whether what needs that role and belongs to no project is shown."""
        return self.who is not None and self.who.roles.may_everywhere(Role(role))

    @property
    def project(self) -> str:
        """The one that is suggested for a new job."""
        if self.shown is not None and self.may(Role.EDITOR, self.shown):
            return self.shown
        where = None if self.who is None else self.who.roles.where(Role.EDITOR)
        return DEFAULT_PROJECT if where is None or DEFAULT_PROJECT in where else next(iter(where), "")


class Again(NamedTuple):
    """A form that was sent in vain."""

    action: str
    fields: Mapping[str, str]


class ChannelsView(NamedTuple):
    """What the page of channels shows."""

    channels: Sequence[Channel]
    rules: Sequence[Rule]
    mutes: Sequence[Mute]
    can_mail: bool
    """Whether e-mail can be sent."""
    tested: int | None = None
    """The channel that was just sent a test."""
    preview: RulePreview | None = None
    """What the rule that was typed would do."""


def _notice(view: JobView, query: Mapping[str, str]) -> notices.Notice | None:
    """What was just done to a job; an edit with its way back."""
    job = view.job.job
    told = notices.notice(query, {job.jobid: job.jobname})
    newest = view.changes[0] if view.changes else None
    if "edited" in query and newest is not None and newest.action == "edited" and undoing.is_complete(newest):
        return told and told._replace(undo=f"/jobs/{job.jobid}/undo", version=job.version)
    return told


def _failing(shown: JobWithLogs) -> Log | None:
    """The run with which a job has begun to fail, or goes on to."""
    if shown.job.laststatus != "failed":
        return None
    return next((log for log in shown.logs if log.status is LogStatus.FAILED), None)


class Pages:
    """Renders pages. One object per application, as they tell of its configuration."""

    def __init__(
        self,
        *,
        open_to_all: bool = False,
        base: str = "",
        who: Principal | None = ANYBODY,
        provider: str | None = None,
        traces: str | None = None,
    ) -> None:
        """`base` is where the service is; `who` looks at pages of errors, before anybody asked who it is.

        `provider` is what the identity provider is called that users may sign in with; `traces` is where
        traces are looked at, with `{traceid}` in it.
        """
        self._base = base
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            open_to_all=open_to_all,
            base=base,
            provider=provider,
            traces=traces,
            version=__version__,
            words=wording,
            bars=bars,
            glance=glance,
        )
        self._reader = Reader(Times(), "/jobs", who=who)

    def seen_by(self, reader: Reader) -> "Pages":
        """The same for one reader."""
        pages = copy(self)
        vars(pages)["_reader"] = reader
        return pages

    def jobs(
        self,
        view: JobsView,
        further: str | None,
        earlier: str | None,
        query: Mapping[str, str],
        limit: int,
        names: Mapping[int, str],
    ) -> str:
        """The list of jobs with their newest runs, filters, and a notice of what was just done.

        `further` leads on, and `earlier` is the place after which the page before it begins. `names` are
        those of jobs that the notice tells of.
        """
        now, times = view.now, self._reader.times
        narrowed = filters.given(query, filters.OF_JOBS)
        kept = filters.given(query, filters.KEPT_OF_JOBS)
        first = "cursor" not in query
        return self._render(
            "jobs.html",
            now=now,
            rows=[glance.row_of(job, view.recent.get(job.jobid, ()), now, times) for job in view.found.jobs],
            count=view.found.matching,
            number=jobs.number(view.found.matching, MAX_COUNTED),
            further=further,
            notice=notices.notice(query, names) if first else None,
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
        *,
        again: bool,
    ) -> str:
        """What an order to many jobs would do, and to how many; `again`: their number has changed."""
        given = {"order": order, "count": count, "jobids": jobids, "named": named, "back": back}
        return self._render("confirm.html", **given, again=again)

    def bulk(self, order: BulkOrder, report: BulkReport, named: Mapping[int, str], back: str) -> str:
        """What an order to many jobs did; `named`: those with which it could not be done."""
        return self._render("bulk.html", order=order, report=report, named=named, back=back)

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
        )

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

    def performance(self, found: Performance, sort: PerformanceSort, *, is_newest: bool) -> str:
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
        )

    def days(self, job: JobSummary, found: Sequence[DayTally], further: str | None, *, is_first: bool) -> str:
        """What became of a job's runs, day by day."""
        return self._render("days.html", job=job, found=found, further=further, first=is_first)

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
        return self._render(
            "upcoming.html",
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

    def sign_in(
        self, fields: Mapping[str, str], field_errors: Sequence[FieldError], *, can_keep: bool
    ) -> str:
        """The form to sign in; `can_keep`: whether the browser will keep a session."""
        messages = form.messages(field_errors, None)
        return self._render("sign_in.html", fields=fields, messages=messages, can_keep=can_keep)

    def set_password(
        self, name: str, token: str, field_errors: Sequence[FieldError], *, can_keep: bool
    ) -> str:
        """The form to set a password, for whom a link lets in."""
        return self._render(
            "set_password.html",
            name=name,
            token=token,
            shortest=MIN_PASSWORD,
            messages=form.messages(field_errors, None),
            can_keep=can_keep,
        )

    def account(
        self,
        now: datetime,
        principal: Principal,
        sessions: Sequence[SessionRow],
        issuer: str | None,
        field_errors: Sequence[FieldError],
    ) -> str:
        """Who has signed in, and where; `issuer` is the identity provider that let them in, if one did."""
        return self._render(
            "account.html",
            now=now,
            principal=principal,
            sessions=sessions,
            issuer=issuer,
            shortest=MIN_PASSWORD,
            messages=form.messages(field_errors, None),
        )

    def audit(
        self, now: datetime, found: Sequence[AuditEvent], further: str | None, query: Mapping[str, str]
    ) -> str:
        """What everybody did, with filters."""
        narrowed = filters.given(query, filters.OF_AUDIT)
        return self._render(
            "audit.html",
            now=now,
            found=found,
            further=further,
            first="cursor" not in query,
            filters=narrowed,
            kept=filters.given(query, filters.KEPT_OF_AUDIT),
            actors=list(ActorKind),
            objects=list(AuditObject),
            actions=list(ChangeAction),
        )

    def keys(
        self,
        now: datetime,
        found: Sequence[Key],
        fields: Mapping[str, str],
        field_errors: Sequence[FieldError],
    ) -> str:
        """API keys, and the form for a new one, with what was typed and what is wrong with it."""
        return self._accesses("keys.html", now, found, fields, field_errors)

    def new_key(self, key: NewKey) -> str:
        """A new key, shown this once."""
        return self._render("new_key.html", key=key)

    def users(
        self,
        now: datetime,
        found: Sequence[User],
        fields: Mapping[str, str],
        field_errors: Sequence[FieldError],
    ) -> str:
        """Users, and the form for a new one, with what was typed and what is wrong with it."""
        return self._accesses("users.html", now, found, fields, field_errors)

    def project_secrets(
        self,
        now: datetime,
        project: str,
        found: Sequence[ProjectSecret],
        further: str | None,
        typed: Typed,
    ) -> str:
        """A project's secrets, where they go on, and the form to set one with what was typed."""
        more = {"project": project, "further": further}
        return self._accesses("project_secrets.html", now, found, typed.fields, typed.field_errors, **more)

    def projects(
        self,
        now: datetime,
        found: Sequence[Project],
        fields: Mapping[str, str],
        field_errors: Sequence[FieldError],
    ) -> str:
        """Projects, and the form for a new one, with what was typed and what is wrong with it."""
        return self._accesses("projects.html", now, found, fields, field_errors)

    def issues(
        self, now: datetime, found: Sequence[JobIssue], further: str | None, query: Mapping[str, str]
    ) -> str:
        """Issues of jobs, with filters."""
        narrowed = filters.given(query, filters.OF_ISSUES)
        return self._render(
            "issues.html",
            now=now,
            found=found,
            further=further,
            first="cursor" not in query,
            over=narrowed.get("state") == IssueState.ENDED,
            filters=narrowed,
            kept=filters.given(query, (*filters.KEPT_OF_ISSUES, "jobid", "project")),
            states=[IssueState.ENDED],
            kinds=list(JobIssueKind),
        )

    def issue(self, now: datetime, found: JobIssue, told: Sequence[Alert]) -> str:
        """An issue, and who was told of it."""
        return self._render("issue.html", now=now, issue=found, told=told)

    def alerts(
        self, now: datetime, found: Sequence[Alert], further: str | None, query: Mapping[str, str]
    ) -> str:
        """What channels were told, with filters."""
        return self._render(
            "alerts.html",
            now=now,
            found=found,
            further=further,
            first="cursor" not in query,
            filters=filters.given(query, filters.OF_ALERTS),
            kept=filters.given(query, (*filters.KEPT_OF_ISSUES, "channelid", "jobid")),
            states=list(AlertState),
        )

    def channels(
        self,
        now: datetime,
        shown: ChannelsView,
        fields: Mapping[str, str],
        field_errors: Sequence[FieldError],
    ) -> str:
        """Channels, rules and mutes, and the forms for new ones with what was typed and what is wrong."""
        return self._render(
            "channels.html",
            now=now,
            found=shown.channels,
            rules=shown.rules,
            mutes=shown.mutes,
            uncovered=not any(rule.is_about_all_jobs for rule in shown.rules),
            can_mail=shown.can_mail,
            tested=shown.tested,
            preview=shown.preview,
            fields=fields,
            messages=form.messages(field_errors, None),
            kinds=list(JobIssueKind),
            channel_kinds=list(ChannelKind),
        )

    def channel(self, channel: Channel, fields: Mapping[str, str], field_errors: Sequence[FieldError]) -> str:
        """A channel, and the form that changes it with what was typed and what is wrong."""
        return self._render(
            "channel.html",
            channel=channel,
            parts=NEEDED[channel.kind] + ALLOWED.get(channel.kind, ()),
            fields=fields,
            messages=form.messages(field_errors, None),
        )

    def rule(self, now: datetime, found: RulePreview) -> str:
        """What a rule is about, and what it would have sent."""
        return self._render("rule.html", now=now, found=found)

    def new_channel(self, channel: NewChannel) -> str:
        """A new webhook's secret, shown this once."""
        return self._render("new_channel.html", channel=channel)

    def invitation(self, invitation: Invitation) -> str:
        """A link that lets a user in, shown this once."""
        return self._render("invitation.html", invitation=invitation)

    def _accesses(
        self,
        template: str,
        now: datetime,
        found: Sequence[Key] | Sequence[User] | Sequence[Project] | Sequence[ProjectSecret],
        fields: Mapping[str, str],
        field_errors: Sequence[FieldError],
        **more: str | None,
    ) -> str:
        messages = form.messages(field_errors, None)
        context = {"now": now, "found": found, "fields": fields, "messages": messages}
        return self._render(template, choices=list(Role), **context, **more)

    def error(self, problem: Problem, again: Again | None = None) -> str:
        """A problem, for people; with what may be sent again."""
        return self._render("error.html", problem=problem, again=again)

    def problem(self, kind: ProblemKind) -> str:
        """A kind of error, and what to do about it."""
        return self._render("problem.html", kind=kind)

    def documentation(self) -> str:
        """The interactive API documentation."""
        return self._render("swagger.html")

    def _render(self, template: str, **context: object) -> str:
        own = self._reader._asdict() | {
            "may": self._reader.may,
            "may_everywhere": self._reader.may_everywhere,
        }
        return self._templates.get_template(template).render(context | own)
