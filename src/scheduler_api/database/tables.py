"""The tables, with every invariant that the database itself can keep."""

import dataclasses
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    FromClause,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    UniqueConstraint,
    Uuid,
    event,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ENUM, JSONB
from sqlalchemy.schema import CreateIndex

from scheduler_api.contracts.values import DEFAULT_PROJECT

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Instant = DateTime(timezone=True)


def columns(table: FromClause, row: type) -> list[ColumnElement[Any]]:
    """The columns that the fields of a row's type (a NamedTuple's, a dataclass') name."""
    names = getattr(row, "_fields", None) or [field.name for field in dataclasses.fields(row)]
    return [table.c[name] for name in names]


#: What a log's row says of itself.
LogStatus = ENUM("pending", "running", "finished", "failed", "skipped", name="logstatus", metadata=metadata)
LogCause = ENUM("schedule", "manual", "backfill", "after", name="logcause", metadata=metadata)
RunKind = ENUM("plain", "http", "monitor", name="runkind", metadata=metadata)

#: The rows of a run (its log, attempts and lines) have one `day`: that of its occurrence, once it is settled.
#: Until then they are live, and so is what was skipped ahead of its time, as an edit may forget it.
LIVE_DAY = text("'infinity'")
#: Before all days.
NEVER = text("'-infinity'")
#: The condition that reads the live part alone.
LIVE = "day = 'infinity'"
#: How long a run took, in milliseconds; null: nothing was done, or nobody said when it began.
TOOK = """
    CAST(CASE WHEN kind <> 'plain' AND finishedat > startedat
         THEN extract(epoch FROM finishedat - startedat) END AS float8) * 1000
"""
#: Columns of a log of which most rows say nothing, as they are read: how many further occurrences it stands
#: for, and when the job's newest run began. Each run has a row, and what stands in it is kept for months.
MISSED = "coalesce(missed, 0) AS missed"
LASTRUN = "coalesce(lastrun, startedat) AS lastrun"
#: The one row that a job goes on with: its next run, or the run that will add it when it settles.
IS_NEXT_RUN = "cause = 'schedule' AND (status = 'pending' AND attempt = 1 OR following IS NOT NULL)"
#: The same row, to be looked for.
LIVE_NEXT_RUN = f"{LIVE} AND {IS_NEXT_RUN}"

#: How a job's runs have gone so far, whatever their cause: columns of the row that it goes on with, and of
#: the job where it has none.
STANDING = ("lastrun", "runs", "laststatus", "failures", "failingsince", "lastsuccess")


#: What jobs, keys and roles belong to.
project = Table(
    "project",
    metadata,
    Column("name", Text, primary_key=True),
    Column("description", Text, nullable=False, server_default=""),
    Column("createdat", Instant, nullable=False),
    # How much it may use; null: as much as there is. Jobs, bytes of a body, requests a second, event streams.
    Column("maxjobs", Integer),
    Column("maxbody", Integer),
    Column("maxrequests", Integer),
    Column("maxstreams", Integer),
    CheckConstraint("least(maxjobs, maxbody, maxrequests, maxstreams) >= 1", name="quotas"),
)

job = Table(
    "job",
    metadata,
    Column("jobid", BigInteger, Identity(always=True), primary_key=True),
    Column("jobname", String(100), nullable=False),
    # What a search looks for a text in: the name, the host and the tags, in lower case, each in a line of its
    # own. Whatever looks at all jobs reads it first, so that it comes early.
    Column("words", Text, Computed("jobwords(jobname, host, tags)", persisted=True)),
    Column("startdate", Date),
    Column("starttime", Time),
    Column("timezone", Text, nullable=False, server_default="UTC"),
    Column("repeat", Boolean, nullable=False, server_default="false"),
    Column("interval", Integer),
    Column("cron", Text),
    Column("until", Instant),
    Column("maxruns", Integer),
    Column("exclude", ARRAY(Text), nullable=False, server_default="{}"),
    # The calendars on whose days it does not run, and those days, in order: as they are when it is defined,
    # and again when they change.
    Column("calendars", ARRAY(Text), nullable=False, server_default="{}"),
    Column("calendardays", ARRAY(Text), nullable=False, server_default="{}"),
    # The newest version among its calendars when the days were looked up.
    Column("calendarversion", BigInteger, nullable=False, server_default="0"),
    Column("dstgap", Text, nullable=False, server_default="after"),
    Column("dstfold", Text, nullable=False, server_default="once"),
    Column("jitter", Integer, nullable=False, server_default="0"),
    Column("misfire", Text, nullable=False, server_default="once"),
    Column("grace", Integer, nullable=False, server_default="60"),
    Column("project", ForeignKey("project.name"), nullable=False, server_default=DEFAULT_PROJECT),
    Column("tags", ARRAY(Text), nullable=False, server_default="{}"),
    # For people.
    Column("description", Text, nullable=False, server_default=""),
    Column("owner", Text, nullable=False, server_default=""),
    Column("runbook", Text, nullable=False, server_default=""),
    # What a run does: `plain` ones are the bookkeeping, `http` ones make a request, to a host; those of a
    # `monitor` are made elsewhere, and reported.
    Column("kind", RunKind, nullable=False, server_default="plain"),
    Column("target", JSONB),
    Column("host", Text),
    # The secrets of its project that the target names, each once.
    Column("secretnames", ARRAY(Text), nullable=False, server_default="{}"),
    # What is expected of the reports of a monitor, and the secret part of the address that takes them.
    Column("monitor", JSONB),
    Column("monitortoken", Uuid),
    # Instead of a schedule: the job that it runs after, and after which ends.
    Column("after", JSONB),
    Column("afterjobid", BigInteger),
    # Whether the schedule goes on while a run is in progress; how many may be, whatever their cause.
    Column("overlap", Boolean, nullable=False, server_default="false"),
    Column("concurrency", Integer),
    # After so many failures in a row the job is paused.
    Column("autopause", Integer),
    # When it is late, stuck and silent, in seconds; null: as is usual.
    Column("lateafter", Integer),
    Column("stuckafter", Integer),
    Column("silentafter", Integer),
    # After how many runs in a row that finished a failure is over.
    Column("recoverafter", Integer, nullable=False, server_default="1"),
    # Of which runs rows are kept when their day is closed.
    Column("record", Text, nullable=False, server_default="all"),
    # State, which no edit of the definition changes. An inactive job that is not paused is completed.
    Column("active", Boolean, nullable=False, server_default="true"),
    Column("pausedat", Instant),
    Column("pausereason", Text),
    Column("pauseduntil", Instant),
    # While paused: the first occurrence that the ledger does not account for; none if there is none.
    Column("resumefrom", Instant),
    Column("deletedat", Instant),
    # Since when it is being removed, with its history: out of sight.
    Column("removedat", Instant),
    # Counts the changes that people make; the entity tag.
    Column("version", Integer, nullable=False, server_default="1"),
    Column("createdat", Instant, nullable=False, server_default=text("now()")),
    # The present schedule calls for the occurrences later than this.
    Column("validfrom", Instant, nullable=False, server_default=text("now()")),
    # And for those in parts of the time before: first and last instant of each, in turn. They were due when
    # the schedule was edited, and both schedules call for them.
    Column("kept", ARRAY(Instant), nullable=False, server_default="{}"),
    # Which order to many jobs paused it.
    Column("pauseid", Uuid),
    # How its runs went: what the row that it goes on with says, where there is one, and this where not.
    # When the newest run began; how often the schedule had made it run.
    Column("lastrun", Instant),
    Column("runs", Integer, nullable=False, server_default="0"),
    # How the run that ended last ended; how many in a row have failed, in the order in which they ended, and
    # since when; when a run finished last.
    Column("laststatus", LogStatus),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failingsince", Instant),
    Column("lastsuccess", Instant),
    # How many issues of it are open; and since when it is expected to run, beside `validfrom`.
    Column("openissues", Integer, nullable=False, server_default="0"),
    Column("watchedfrom", Instant),
    # The longest time between two of its occurrences, in seconds; null: it has not been looked at yet, or
    # there is none.
    Column("distance", Integer),
    CheckConstraint("openissues >= 0", name="openissues"),
    CheckConstraint("char_length(btrim(jobname)) >= 3", name="jobname"),
    CheckConstraint("repeat = (num_nonnulls(interval, cron) = 1)", name="repeat"),
    CheckConstraint("num_nonnulls(interval, cron) <= 1", name="kind"),
    CheckConstraint("num_nonnulls(cron, after) > 0 OR num_nulls(startdate, starttime) = 0", name="start"),
    CheckConstraint("(after IS NULL) = (afterjobid IS NULL)", name="after"),
    CheckConstraint(
        "after IS NULL OR num_nonnulls(startdate, starttime, interval, cron, until, maxruns) = 0",
        name="noschedule",
    ),
    CheckConstraint("interval >= 1", name="interval"),
    CheckConstraint("maxruns >= 1", name="maxruns"),
    CheckConstraint("dstgap IN ('after', 'skip')", name="dstgap"),
    CheckConstraint("dstfold IN ('once', 'both')", name="dstfold"),
    CheckConstraint("jitter >= 0", name="jitter"),
    CheckConstraint("misfire IN ('once', 'all', 'skip')", name="misfire"),
    CheckConstraint("grace >= 1", name="grace"),
    CheckConstraint("(target IS NULL) = (host IS NULL)", name="target"),
    CheckConstraint("(kind = 'http') = (host IS NOT NULL)", name="runkind"),
    CheckConstraint(
        "(kind = 'monitor') = (monitor IS NOT NULL) AND (kind = 'monitor') = (monitortoken IS NOT NULL)",
        name="monitor",
    ),
    CheckConstraint("least(lateafter, stuckafter, silentafter, recoverafter) >= 1", name="watched"),
    CheckConstraint("concurrency >= 1", name="concurrency"),
    CheckConstraint("autopause >= 1", name="autopause"),
    CheckConstraint("record IN ('all', 'failures')", name="record"),
    CheckConstraint("NOT (active AND num_nonnulls(pausedat, deletedat) > 0)", name="active"),
    CheckConstraint(
        "pausedat IS NOT NULL OR num_nonnulls(pausereason, pauseduntil, resumefrom, pauseid) = 0",
        name="pausedat",
    ),
    Index("ix_job_afterjobid", "afterjobid", postgresql_where=text("afterjobid IS NOT NULL")),
    Index("ix_job_project", "project", "jobid"),
    Index("ix_job_tags", "tags", postgresql_using="gin"),
    Index(
        "ix_job_secretnames",
        "secretnames",
        postgresql_using="gin",
        postgresql_where=text("cardinality(secretnames) > 0"),
    ),
    Index("ix_job_pauseid", "pauseid", postgresql_where=text("pauseid IS NOT NULL")),
    Index(
        "ix_job_monitortoken",
        "monitortoken",
        unique=True,
        postgresql_where=text("monitortoken IS NOT NULL"),
    ),
    Index("ix_job_calendars", "jobid", postgresql_where=text("cardinality(calendars) > 0")),
    Index("ix_job_removedat", "jobid", postgresql_where=text("removedat IS NOT NULL")),
    # What fails is looked for among all that do not.
    Index("ix_job_failing", "jobid", postgresql_where=text("laststatus = 'failed'")),
    # The tickers look for the pause that ends first.
    Index("ix_job_pauseduntil", "pauseduntil", postgresql_where=text("pauseduntil IS NOT NULL")),
    # Lists in the order of names, and of jobs in a state that few are in. What a run changes of a job is in
    # no index, but for failures, so that it writes into none.
    Index("ix_job_jobname", "jobname", "jobid", postgresql_where=text("deletedat IS NULL")),
    Index("ix_job_paused", "jobid", postgresql_where=text("pausedat IS NOT NULL")),
    Index("ix_job_deleted", "jobid", postgresql_where=text("deletedat IS NOT NULL")),
    postgresql_with={"fillfactor": 80},
)
CREATE_WORDS = """
    CREATE OR REPLACE FUNCTION jobwords(jobname text, host text, tags text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT lower(concat_ws(E'\\n', jobname, host, array_to_string(tags, E'\\n'))) $$
"""
# Without the extension, where it may not be created, a search looks at each job.
INDEX_WORDS = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX ix_job_words ON job USING gin (words gin_trgm_ops)",
)

#: One relation for all who read logs, in parts: the live rows, and a part for each stretch of history. Wide
#: columns come first, as each run has a row and the gaps between columns would be part of it.
joblog = Table(
    "joblog",
    metadata,
    Column("logid", BigInteger, Identity(always=True), nullable=False),
    Column("jobid", BigInteger, nullable=False),
    Column("scheduledfor", Instant, nullable=False),
    Column("nextrun", Instant),
    # When the job's newest run began, as far as that is not `startedat`: see LASTRUN.
    Column("lastrun", Instant),
    Column("startedat", Instant),
    Column("finishedat", Instant),
    # How many further occurrences the row stands for, and the last of them; null: none.
    Column("missed", BigInteger),
    Column("through", Instant),
    # The log that it ran after; 0: none.
    Column("parentlogid", BigInteger, nullable=False, server_default="0"),
    # While the run is in progress: the occurrence to add when it settles. Then it carries the job's future.
    Column("following", Instant),
    # Of the row that a job goes on with: the last occurrence that has a row although it is later, such as one
    # that was skipped ahead, or written off by an edit.
    Column("ahead", Instant),
    # Until when a replica holds the run; another may take it over afterwards.
    Column("leaseuntil", Instant),
    # While the target goes on with the run by itself: since when. Then no call is in progress.
    Column("acceptedat", Instant),
    # Of the row that a job goes on with: see STANDING.
    Column("failingsince", Instant),
    Column("lastsuccess", Instant),
    Column("day", Date, nullable=False, server_default=LIVE_DAY),
    Column("status", LogStatus, nullable=False, server_default="pending"),
    Column("cause", LogCause, nullable=False, server_default="schedule"),
    # What the run does, and which host it calls.
    Column("kind", RunKind, nullable=False, server_default="plain"),
    # How often the schedule had made the job run by then, this run included; what maxruns bounds.
    Column("runs", Integer, nullable=False, server_default="0"),
    Column("laststatus", LogStatus),
    Column("failures", Integer),
    Column("attempt", SmallInteger, nullable=False, server_default="1"),
    # Attempts from before it was asked to be tried afresh: they count no more.
    Column("spent", SmallInteger, nullable=False, server_default="0"),
    # Who holds the run.
    Column("leasetoken", Uuid),
    Column("host", Text),
    Column("reason", Text),
    Column("error", Text),
    # What it sends instead of the target's body.
    Column("body", JSONB),
    PrimaryKeyConstraint("logid", "day"),
    # One row an occurrence in each part; those who add a row to one part look into the others (decision 24).
    # Serves a job's history too.
    UniqueConstraint("jobid", "scheduledfor", "parentlogid", "cause", "day", name="uq_joblog_occurrence"),
    CheckConstraint("day = 'infinity' OR status NOT IN ('pending', 'running')", name="day"),
    CheckConstraint("(kind = 'http') = (host IS NOT NULL)", name="runkind"),
    CheckConstraint("(cause = 'after') = (parentlogid <> 0)", name="parentlogid"),
    CheckConstraint("attempt >= 1", name="attempt"),
    CheckConstraint("missed >= 1", name="missed"),
    CheckConstraint("(missed IS NULL) = (through IS NULL)", name="through"),
    CheckConstraint("(status = 'pending') = (nextrun IS NOT NULL)", name="nextrun"),
    CheckConstraint(
        "(status IN ('finished', 'failed', 'skipped')) = (finishedat IS NOT NULL)",
        name="finishedat",
    ),
    CheckConstraint("(status = 'skipped') = (reason IS NOT NULL)", name="reason"),
    CheckConstraint(
        "reason IN ('misfire', 'paused', 'excluded', 'overlap', 'dst-gap', 'until', 'superseded', 'deleted',"
        " 'request', 'cancelled', 'unreported')",
        name="known_reason",
    ),
    CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name="error"),
    CheckConstraint("(status = 'running') = (num_nonnulls(leasetoken, leaseuntil) = 2)", name="lease"),
    CheckConstraint("num_nonnulls(leasetoken, leaseuntil) <> 1", name="leasetoken"),
    CheckConstraint("acceptedat IS NULL OR status = 'running'", name="acceptedat"),
    CheckConstraint("following IS NULL OR status IN ('pending', 'running')", name="following"),
    CheckConstraint("spent >= 0 AND spent < attempt", name="spent"),
    # What failed, and what did not run, is looked for among millions that did.
    Index("ix_joblog_failed", "logid", postgresql_where=text("status = 'failed'")),
    Index("ix_joblog_skipped", "logid", postgresql_where=text("status = 'skipped'")),
    # What ran in a stretch of time, of all jobs. An entry for a range of blocks costs next to nothing.
    Index(
        "ix_joblog_scheduledfor",
        "scheduledfor",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": True},
    ),
    # And what ended in one.
    Index(
        "ix_joblog_ended",
        "finishedat",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": True},
    ),
    # What a row stands for, by the last of it: few rows stand for more than one occurrence.
    Index("ix_joblog_through", "through", postgresql_where=text("through IS NOT NULL")),
    # What failed last.
    Index("ix_joblog_failedat", "finishedat", postgresql_where=text("status = 'failed'")),
    # What somebody asked for, or another run led to, among all that the schedules did.
    Index("ix_joblog_asked", "logid", postgresql_where=text("cause <> 'schedule'")),
    postgresql_partition_by="RANGE (day)",
)

logattempt = Table(
    "logattempt",
    metadata,
    Column("logid", BigInteger, nullable=False),
    Column("jobid", BigInteger, nullable=False),
    Column("startedat", Instant, nullable=False),
    Column("finishedat", Instant),
    Column("day", Date, nullable=False, server_default=LIVE_DAY),
    Column("attempt", SmallInteger, nullable=False),
    # Written before the request is sent, as `running`: so no request ever goes out that nothing tells of.
    Column("outcome", Text, nullable=False, server_default="running"),
    # The kind of failure, and a sentence about it.
    Column("failure", Text),
    Column("error", Text),
    Column("httpstatus", Integer),
    # Milliseconds that each phase took.
    Column("timing", JSONB),
    # The beginning of the answer.
    Column("excerpt", Text),
    # What the target tells of a run that it accepted.
    Column("progress", Integer),
    Column("message", Text),
    Column("replica", Text, nullable=False),
    PrimaryKeyConstraint("logid", "attempt", "day"),
    CheckConstraint("attempt >= 1", name="attempt"),
    CheckConstraint(
        "outcome IN ('running', 'accepted', 'finished', 'failed', 'lost', 'cancelled', 'released')",
        name="outcome",
    ),
    CheckConstraint(
        "failure IN ('connect', 'dns', 'timeout', 'tls', 'protocol', 'blocked', 'redirect', 'status',"
        " 'pattern', 'gone', 'lost', 'silent', 'cancelled', 'reported', 'busy', 'template')",
        name="failure",
    ),
    CheckConstraint("(outcome IN ('running', 'accepted')) = (finishedat IS NULL)", name="finishedat"),
    CheckConstraint("progress BETWEEN 0 AND 100", name="progress"),
    postgresql_partition_by="RANGE (day)",
)

logline = Table(
    "logline",
    metadata,
    Column("lineid", BigInteger, Identity(always=True), nullable=False),
    Column("logid", BigInteger, nullable=False),
    Column("jobid", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    Column("day", Date, nullable=False, server_default=LIVE_DAY),
    Column("attempt", SmallInteger, nullable=False),
    Column("line", Text, nullable=False),
    PrimaryKeyConstraint("lineid", "day"),
    Index("ix_logline_logid_lineid", "logid", "lineid"),
    postgresql_partition_by="RANGE (day)",
)

#: The tables that are in parts, alike: what holds for all parts of one stands at its table.
PARTITIONED = (joblog, logattempt, logline)
#: What moves with a row from one part to another: all of its columns but the day.
LOG, ATTEMPT, LINE = (
    ", ".join(column.name for column in table.columns if column.name != "day") for table in PARTITIONED
)

# The live rows. What only they need is kept on their part: indexes that do not grow with history, and at most
# one row that carries a job's future, so that two schedulers cannot fork a schedule in two. They change at
# each run: half a page is left free for that, and what is dead is cleaned up early.
_live = MetaData(naming_convention=metadata.naming_convention)
joblog_live = Table(
    "joblog_live",
    _live,
    *(Column(column.name, column.type) for column in joblog.columns),
    Index("uq_joblog_live_nextrun", "jobid", unique=True, postgresql_where=text(IS_NEXT_RUN)),
    # What passes take.
    Index(
        "ix_joblog_live_passes",
        "nextrun",
        "logid",
        postgresql_where=text("status = 'pending' AND kind <> 'http'"),
    ),
    Index(
        "ix_joblog_live_calls",
        "nextrun",
        "logid",
        postgresql_where=text("status = 'pending' AND kind = 'http'"),
    ),
    # Claims go from host to host where many calls are due.
    Index(
        "ix_joblog_live_hosts",
        "host",
        "nextrun",
        "logid",
        postgresql_where=text("status = 'pending' AND kind = 'http'"),
    ),
    Index("ix_joblog_live_retry", "jobid", postgresql_where=text("status = 'pending' AND attempt > 1")),
    # Next to none, and looked for as the newest that have finished.
    Index("ix_joblog_live_finished", "logid", postgresql_where=text("status = 'finished'")),
    # Those that carry their job's future while they wait.
    Index(
        "ix_joblog_live_waiting",
        "jobid",
        postgresql_where=text("status = 'pending' AND following IS NOT NULL"),
    ),
    Index("ix_joblog_live_running", "jobid", postgresql_where=text("status = 'running'")),
    # Calls in progress, which claims count by host.
    Index(
        "ix_joblog_live_calling",
        "host",
        postgresql_where=text("status = 'running' AND kind = 'http' AND acceptedat IS NULL"),
    ),
    Index("ix_joblog_live_failing", "jobid", postgresql_where=text("laststatus = 'failed'")),
)
#: What becomes of a live part that is there, in SQL; the first parts of history are added at the first start.
CREATE_LIVE = (
    *(
        f"CREATE TABLE {table.name}_live PARTITION OF {table.name} FOR VALUES FROM ('infinity') TO (MAXVALUE)"
        " WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,"
        " autovacuum_vacuum_cost_delay = 0)"
        for table in PARTITIONED
    ),
    "ALTER TABLE joblog_live ADD CONSTRAINT fk_joblog_live_jobid FOREIGN KEY (jobid) REFERENCES job (jobid)",
)


def _create_words(_: Any, connection: Any, **__: Any) -> None:
    connection.execute(text(CREATE_WORDS))


def _create_live(_: Any, connection: Any, **__: Any) -> None:
    for statement in (*INDEX_WORDS, *CREATE_LIVE):
        connection.execute(text(statement))
    for index in joblog_live.indexes:
        connection.execute(CreateIndex(index))


event.listen(metadata, "before_create", _create_words)
event.listen(metadata, "after_create", _create_live)

# One row: which days the parts of history hold.
history = Table(
    "history",
    metadata,
    Column("onlyrow", Boolean, primary_key=True, server_default=true()),
    # The first day of the oldest part, and the last day of the newest.
    Column("firstday", Date, nullable=False),
    Column("lastday", Date, nullable=False),
    # The first day under which rows may still be added; the day up to which jobs are being closed, and the
    # last of them that was; the day up to which all are.
    Column("openday", Date, nullable=False, server_default=NEVER),
    Column("closing", Date, nullable=False, server_default=NEVER),
    Column("closingjob", BigInteger, nullable=False, server_default="0"),
    Column("closedto", Date, nullable=False, server_default=NEVER),
    # The first day whose history is kept.
    Column("horizon", Date, nullable=False, server_default=NEVER),
    # The day up to which days were exported.
    Column("exportedto", Date, nullable=False, server_default=NEVER),
    # The first days of parts before it whose tables may still be there.
    Column("leaving", ARRAY(Date), nullable=False, server_default="{}"),
    CheckConstraint("onlyrow", name="onlyrow"),
    CheckConstraint("firstday <= lastday", name="days"),
)

# What became of a job's runs on a day that is closed: it stays when the day's rows have gone.
jobtally = Table(
    "jobtally",
    metadata,
    Column("jobid", ForeignKey(job.c.jobid, ondelete="CASCADE"), nullable=False),
    Column("day", Date, nullable=False),
    Column("finished", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    # How many occurrences, by reason.
    Column("skipped", JSONB, nullable=False),
    Column("missed", BigInteger, nullable=False),
    # Milliseconds that calls took.
    Column("p50", Double),
    Column("p95", Double),
    # Of the schedule's own rows: how many there were, and what they accounted for.
    Column("rows", Integer, nullable=False),
    Column("accounted", BigInteger, nullable=False),
    # Of the last of them: how often the schedule had made the job run; null: there was none. And whether it
    # could not even be tried, so that the job came to a stop.
    Column("runs", Integer),
    Column("stopped", Boolean, nullable=False),
    # What a check found on that day; null: nothing.
    Column("findings", JSONB),
    PrimaryKeyConstraint("jobid", "day"),
)

# Jobs whose occurrences are still to come from a day on that is closed for others.
jobopen = Table(
    "jobopen",
    metadata,
    Column("jobid", ForeignKey(job.c.jobid, ondelete="CASCADE"), primary_key=True),
    Column("since", Date, nullable=False),
)

# Jobs of whose runs that finished no rows are kept.
jobthinned = Table(
    "jobthinned",
    metadata,
    Column("jobid", ForeignKey(job.c.jobid, ondelete="CASCADE"), primary_key=True),
    # The first day whose rows are all kept; and the day up to which the others have gone.
    Column("since", Date, nullable=False),
    Column("goneto", Date, nullable=False, server_default=NEVER),
    Index("ix_jobthinned_left", "jobid", postgresql_where=text("goneto < since")),
)

jobsecret = Table(
    "jobsecret",
    metadata,
    Column("secretid", BigInteger, Identity(always=True), primary_key=True),
    Column("jobid", ForeignKey(job.c.jobid, ondelete="CASCADE"), nullable=False),
    Column("createdat", Instant, nullable=False),
    # Encrypted; the key is no business of the database.
    Column("ciphertext", LargeBinary, nullable=False),
    Index("ix_jobsecret_jobid", "jobid"),
)

# What the targets of a project's jobs name, to be let in where they call.
projectsecret = Table(
    "projectsecret",
    metadata,
    Column("secretid", BigInteger, Identity(always=True), primary_key=True),
    Column("project", ForeignKey("project.name", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    # Scheme, host and port of the only place where it is sent.
    Column("origin", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    # Whether it came with a job: then it goes when no job names it any more.
    Column("generated", Boolean, nullable=False, server_default="false"),
    Column("createdat", Instant, nullable=False),
    Column("changedat", Instant, nullable=False),
    UniqueConstraint("project", "name"),
)

# How many runs of the jobs with a tag, or calls to a host, may be in progress at once, and begin in a minute.
concurrencylimit = Table(
    "concurrencylimit",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("limit", Integer),
    Column("rate", Integer),
    # Until when the calls that have begun use up the rate.
    Column("busyuntil", Instant),
    CheckConstraint("scope IN ('tag', 'host', 'project')", name="scope"),
    CheckConstraint('"limit" >= 1', name="limit"),
    CheckConstraint("rate >= 1", name="rate"),
    CheckConstraint('num_nonnulls("limit", rate) > 0', name="limited"),
    CheckConstraint("busyuntil IS NULL OR rate IS NOT NULL", name="busyuntil"),
)

# Hosts that do not answer: nothing is sent to them until then.
hostfailure = Table(
    "hostfailure",
    metadata,
    Column("host", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("since", Instant, nullable=False),
    Column("openuntil", Instant),
    Column("error", Text, nullable=False),
)

# Counts the changes of all calendars: a clock may be set back.
calendarversion = Sequence("calendarversion", metadata=metadata)

# Days on which the jobs that name it do not run, such as holidays.
calendar = Table(
    "calendar",
    metadata,
    Column("name", Text, primary_key=True),
    Column("description", Text, nullable=False, server_default=""),
    # Dates and ranges, as `exclude` has them; in order, each once.
    Column("days", ARRAY(Text), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("changedat", Instant, nullable=False, server_default=text("now()")),
)

# What was done, to whatever it is. It says so still when the job or the user is gone.
auditevent = Table(
    "auditevent",
    metadata,
    Column("changeid", BigInteger, Identity(always=True), primary_key=True),
    # Null: it was done to no job.
    Column("jobid", BigInteger),
    Column("at", Instant, nullable=False),
    Column("action", Text, nullable=False),
    # Who did it; and with what program on which machine, as far as known.
    Column("actor", Text, nullable=False),
    Column("client", Text),
    # From where it came; null: from this machine, or from the service itself.
    Column("address", Text),
    # Of the job, or of the key, as it was then.
    Column("project", Text),
    Column("before", JSONB),
    Column("after", JSONB),
    CheckConstraint(
        "action IN ('created', 'edited', 'paused', 'resumed', 'deleted', 'skipped', 'repaired', 'started', "
        "'backfilled', 'retried', 'cancelled', 'secretadded', 'secretremoved', 'limitset', 'limitremoved', "
        "'restoreconfirmed', 'calendarset', 'calendarremoved', 'signedin', 'signinrefused', 'signedout', "
        "'useradded', 'userchanged', 'userremoved', 'passwordset', 'linkmade', 'keyadded', 'keyrevoked', "
        "'projectadded', 'projectremoved', 'secretset', 'projectchanged', 'channeladded', 'channelchanged', "
        "'channelremoved', 'ruleadded', 'ruleremoved', 'acknowledged', 'redriven', 'muteadded', "
        "'muteremoved', 'addresschanged', 'issueclosed', 'restored')",
        name="action",
    ),
    CheckConstraint("actor IN ('local', 'user', 'key', 'schedule')", name="actor"),
    Index("ix_auditevent_repaired", "at", postgresql_where=text("action = 'repaired'")),
    Index("ix_auditevent_jobid_changeid", "jobid", "changeid"),
)

# People who sign in.
useraccount = Table(
    "useraccount",
    metadata,
    Column("userid", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # Everywhere; null: in some projects only.
    Column("role", Text),
    # By argon2id, in its own format; null: none was set.
    Column("passwordhash", Text),
    Column("createdat", Instant, nullable=False),
    Column("lastseen", Instant),
    CheckConstraint("role IN ('metrics', 'viewer', 'operator', 'editor', 'admin')", name="role"),
)

# What users may do in single projects.
projectrole = Table(
    "projectrole",
    metadata,
    Column("userid", ForeignKey(useraccount.c.userid, ondelete="CASCADE"), primary_key=True),
    Column("project", ForeignKey(project.c.name, ondelete="CASCADE"), primary_key=True),
    Column("role", Text, nullable=False),
    CheckConstraint("role IN ('metrics', 'viewer', 'operator', 'editor')", name="role"),
    Index("ix_projectrole_project", "project"),
)

# Users whom an identity provider signs in: who they are there, whatever they are called.
useridentity = Table(
    "useridentity",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("userid", ForeignKey(useraccount.c.userid, ondelete="CASCADE"), nullable=False, unique=True),
)

# Of all that lets somebody in only the digest is kept, by SHA-256.
usersession = Table(
    "usersession",
    metadata,
    Column("sessionid", BigInteger, Identity(always=True), primary_key=True),
    Column("userid", ForeignKey(useraccount.c.userid, ondelete="CASCADE"), nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("createdat", Instant, nullable=False),
    Column("seenat", Instant, nullable=False),
    # The program and the machine that signed in.
    Column("client", Text),
    Index("ix_usersession_userid", "userid"),
)

# Links by which a user comes in once, to set a password.
signinlink = Table(
    "signinlink",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("userid", ForeignKey(useraccount.c.userid, ondelete="CASCADE"), nullable=False),
    Column("createdat", Instant, nullable=False),
    Column("expiresat", Instant, nullable=False),
    Index("ix_signinlink_userid", "userid"),
)

# Tries to sign in at an identity provider that are in progress. The digest is of what the browser keeps and
# of what the address shows, together.
signinattempt = Table(
    "signinattempt",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("createdat", Instant, nullable=False),
    Column("address", Text, nullable=False),
    # The page that it is for.
    Column("back", Text, nullable=False),
    Index("ix_signinattempt_address", "address", "createdat"),
    Index("ix_signinattempt_createdat", "createdat"),
)

# Tries to sign in that failed, or are in progress, of the last hour: all replicas count together.
signintry = Table(
    "signintry",
    metadata,
    Column("tryid", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Index("ix_signintry_name", "name", "at"),
    Index("ix_signintry_address", "address", "at"),
    Index("ix_signintry_at", "at"),
)

# What programs come in with.
apikey = Table(
    "apikey",
    metadata,
    Column("keyid", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    # Where; null: everywhere.
    Column("project", ForeignKey(project.c.name, ondelete="CASCADE")),
    # How it begins, to tell keys apart.
    Column("prefix", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("createdat", Instant, nullable=False),
    # Who added it.
    Column("createdby", Text),
    Column("expiresat", Instant),
    # To the minute.
    Column("lastused", Instant),
    Column("revokedat", Instant),
    CheckConstraint("role IN ('metrics', 'viewer', 'operator', 'editor', 'admin')", name="role"),
    Index("ix_apikey_project", "project", postgresql_where=text("project IS NOT NULL")),
)

# What is wrong with a job, from when it was noticed until it was over: one at a time of each kind. It is
# changed under the job's lock.
jobissue = Table(
    "jobissue",
    metadata,
    Column("issueid", BigInteger, Identity(always=True), primary_key=True),
    Column("jobid", ForeignKey(job.c.jobid, ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("since", Instant, nullable=False),
    # When it was noticed last, and how many runs or occurrences it is about by now.
    Column("seenat", Instant, nullable=False),
    Column("times", BigInteger, nullable=False, server_default="1"),
    # The first and the last of these; the log of the last one, and what that said.
    Column("firstfor", Instant),
    Column("lastfor", Instant),
    Column("logid", BigInteger),
    Column("error", Text),
    # Whether issues of its kind had come and gone too often when it began.
    Column("flapping", Boolean, nullable=False, server_default="false"),
    # Null: it is open.
    Column("endedat", Instant),
    Column("ending", Text),
    # Who knows of it, since when and until when; null: until it is over.
    Column("ackedby", Text),
    Column("ackedat", Instant),
    Column("ackeduntil", Instant),
    # When those are reminded who were told of it.
    Column("remindat", Instant),
    Column("reminders", Integer, nullable=False, server_default="0"),
    # How many runs in a row have finished since.
    Column("successes", Integer, nullable=False, server_default="0"),
    CheckConstraint("kind IN ('failed', 'missed', 'late', 'stuck', 'silent', 'paused')", name="kind"),
    CheckConstraint("times >= 1", name="times"),
    CheckConstraint("(endedat IS NULL) = (ending IS NULL)", name="endedat"),
    CheckConstraint(
        "ending IN ('recovered', 'edited', 'paused', 'resumed', 'deleted', 'closed')", name="ending"
    ),
    CheckConstraint("(ackedby IS NULL) = (ackedat IS NULL)", name="ackedat"),
    CheckConstraint("ackedat IS NOT NULL OR ackeduntil IS NULL", name="ackeduntil"),
    Index("ix_jobissue_open", "jobid", "kind", unique=True, postgresql_where=text("endedat IS NULL")),
    Index("ix_jobissue_jobid", "jobid", "kind", "endedat"),
    Index("ix_jobissue_flapping", "endedat", postgresql_where=text("flapping")),
    Index("ix_jobissue_endedat", "endedat", postgresql_where=text("endedat IS NOT NULL")),
    Index("ix_jobissue_remindat", "remindat", postgresql_where=text("endedat IS NULL")),
)

# What is wrong with the service itself, for as long as a replica finds it. The subject tells it from others
# of its kind.
serviceissue = Table(
    "serviceissue",
    metadata,
    Column("serviceissueid", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("since", Instant, nullable=False),
    # When it was found last.
    Column("seenat", Instant, nullable=False),
    # What it is, why, and what to do, in words.
    Column("what", Text, nullable=False),
    Column("why", Text),
    Column("action", Text, nullable=False),
    # When those are reminded who were told of it.
    Column("remindat", Instant, nullable=False),
    Column("reminders", Integer, nullable=False, server_default="0"),
    UniqueConstraint("kind", "subject"),
    CheckConstraint(
        "kind IN ('database', 'replica', 'crowded', 'disk', 'export', 'transaction', 'channel', 'restored')",
        name="kind",
    ),
)

# Where people are told.
alertchannel = Table(
    "alertchannel",
    metadata,
    Column("channelid", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # Which service it is, and so how messages are written.
    Column("kind", Text, nullable=False),
    # Addresses of mail; or what a message is sent to: who knows it can write there. Encrypted, as JSON.
    Column("recipients", ARRAY(Text), nullable=False, server_default="{}"),
    Column("ciphertext", LargeBinary),
    # Its scheme, host and port.
    Column("origin", Text),
    Column("createdat", Instant, nullable=False),
    Column("changedat", Instant, nullable=False),
    # Who sends to it now, under which name it is there, and until when at most.
    Column("leasetoken", Uuid),
    Column("leaseholder", Text),
    Column("leaseuntil", Instant),
    # Nothing is sent before then: to gather more for one message, or as it does not take any.
    Column("openfrom", Instant, nullable=False, server_default=NEVER),
    Column("lastsent", Instant),
    # How many tries in a row have failed, since when, and why the last one did.
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failingsince", Instant),
    Column("error", Text),
    CheckConstraint(
        "kind IN ('webhook', 'email', 'slack', 'discord', 'teams', 'telegram', 'ntfy', 'pagerduty', "
        "'opsgenie', 'apprise')",
        name="kind",
    ),
    CheckConstraint("(kind = 'email') = (cardinality(recipients) > 0)", name="recipients"),
    CheckConstraint("(kind = 'email') = (ciphertext IS NULL)", name="ciphertext"),
    CheckConstraint("(ciphertext IS NULL) = (origin IS NULL)", name="origin"),
    CheckConstraint("(leasetoken IS NULL) = (leaseuntil IS NULL)", name="lease"),
    CheckConstraint("(failures > 0) = (num_nonnulls(failingsince, error) = 2)", name="failures"),
)

# Which issues a channel is told of. Null and empty: whatever it is.
alertrule = Table(
    "alertrule",
    metadata,
    Column("ruleid", BigInteger, Identity(always=True), primary_key=True),
    Column("channelid", ForeignKey(alertchannel.c.channelid, ondelete="CASCADE"), nullable=False),
    Column("project", ForeignKey(project.c.name, ondelete="CASCADE")),
    Column("tag", Text),
    Column("jobid", ForeignKey(job.c.jobid, ondelete="CASCADE")),
    Column("kinds", ARRAY(Text), nullable=False),
    # After how many failures: in a row, or among the newest runs.
    Column("after", Integer, nullable=False, server_default="1"),
    Column("outof", Integer),
    # Whether it is told of the service itself.
    Column("service", Boolean, nullable=False, server_default="false"),
    # Whether it is told again while an issue is open, and when it is over.
    Column("reminds", Boolean, nullable=False, server_default="true"),
    Column("recovers", Boolean, nullable=False, server_default="true"),
    Column("createdat", Instant, nullable=False),
    CheckConstraint("after >= 1", name="after"),
    CheckConstraint("outof >= after", name="outof"),
    CheckConstraint("cardinality(kinds) > 0 OR service", name="kinds"),
    Index("ix_alertrule_channelid", "channelid"),
    Index("ix_alertrule_project", "project", postgresql_where=text("project IS NOT NULL")),
    Index("ix_alertrule_jobid", "jobid", postgresql_where=text("jobid IS NOT NULL")),
)

# Times in which alerts are held back. Null: of whatever job.
alertmute = Table(
    "alertmute",
    metadata,
    Column("muteid", BigInteger, Identity(always=True), primary_key=True),
    Column("project", ForeignKey("project.name", ondelete="CASCADE")),
    Column("tag", Text),
    Column("jobid", ForeignKey("job.jobid", ondelete="CASCADE")),
    # When it holds; of one on a cron, this time or the next.
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    # When its windows begin, in which zone, and how long each is.
    Column("cron", Text),
    Column("timezone", Text, nullable=False, server_default="UTC"),
    Column("minutes", Integer),
    Column("reason", Text, nullable=False, server_default=""),
    Column("createdat", Instant, nullable=False),
    Column("createdby", Text),
    # Since when it holds nothing any longer; and up to which alert what it held back was released.
    Column("liftedat", Instant),
    Column("releasedto", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("until > since", name="until"),
    CheckConstraint("(cron IS NULL) = (minutes IS NULL)", name="cron"),
    Index("ix_alertmute_project", "project", postgresql_where=text("project IS NOT NULL")),
    Index("ix_alertmute_jobid", "jobid", postgresql_where=text("jobid IS NOT NULL")),
)

# What a channel is to be told, or was: added in the transaction of what it tells of. Nothing keeps the
# channel in its place meanwhile: who removes one must not keep results from being written.
alert = Table(
    "alert",
    metadata,
    Column("alertid", BigInteger, Identity(always=True), primary_key=True),
    Column("channelid", BigInteger, nullable=False),
    # By which rule, about which issue of which job, or of the service; they may be gone. Null: a test.
    Column("ruleid", BigInteger),
    Column("issueid", BigInteger),
    Column("serviceissueid", BigInteger),
    Column("jobid", BigInteger),
    Column("event", Text, nullable=False),
    # Which of several reminders.
    Column("number", Integer, nullable=False, server_default="0"),
    Column("at", Instant, nullable=False),
    # The job and the issue, as they were.
    Column("facts", JSONB, nullable=False),
    # Held back until then.
    Column("holduntil", Instant),
    # The message that it is sent in, which keeps its id however often it is tried.
    Column("messageid", Uuid),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("sentat", Instant),
    # Since when it is not tried any more.
    Column("deadat", Instant),
    Column("error", Text),
    UniqueConstraint("channelid", "issueid", "event", "number"),
    CheckConstraint("event IN ('opened', 'reminder', 'ended', 'test')", name="event"),
    CheckConstraint("num_nonnulls(sentat, deadat) <= 1", name="over"),
    CheckConstraint("sentat IS NULL OR messageid IS NOT NULL", name="sentat"),
    Index(
        "ix_alert_waiting",
        "channelid",
        "alertid",
        postgresql_where=text("sentat IS NULL AND deadat IS NULL"),
    ),
    Index("ix_alert_sentat", "channelid", "sentat", postgresql_where=text("sentat IS NOT NULL")),
    Index("ix_alert_issueid", "issueid"),
    Index(
        "ix_alert_serviceissueid",
        "serviceissueid",
        "channelid",
        "event",
        "number",
        unique=True,
        postgresql_where=text("serviceissueid IS NOT NULL"),
    ),
    Index("ix_alert_dead", "alertid", postgresql_where=text("deadat IS NOT NULL")),
    Index("ix_alert_at", "at"),
)

# One row: how to write. The oldest version of the code that may, by the number of its newest migration.
schemaversion = Table(
    "schemaversion",
    metadata,
    Column("onlyrow", Boolean, primary_key=True, server_default=true()),
    Column("compatiblefrom", Integer, nullable=False),
    # Over how many cells the tables of jobs are distributed; null: they are not.
    Column("cells", SmallInteger),
    CheckConstraint("onlyrow", name="onlyrow"),
)

# Replicas that are there, or were of late: what only newer code may write waits until older ones have gone.
replica = Table(
    "replica",
    metadata,
    Column("name", Text, primary_key=True),
    # The schema version of its code.
    Column("version", Integer, nullable=False),
    Column("seenat", Instant, nullable=False),
)

# One row: where the database lives, so that a restored one is noticed.
installation = Table(
    "installation",
    metadata,
    Column("onlyrow", Boolean, primary_key=True, server_default=true()),
    # System identifier, timeline, and object identifiers of the database and of joblog; null: not seen yet.
    Column("mark", Text),
    # The transaction that wrote the row.
    Column("writer", Text),
    # When the newest restore was noticed, and the newest instant that the tables knew of then.
    Column("restoredat", Instant),
    Column("lastknown", Instant),
    # Since when somebody knows of it.
    Column("confirmedat", Instant),
    # A digest of the rules of time zones by which the next runs were timed; null: nobody knows.
    Column("zonerules", Text),
    CheckConstraint("onlyrow", name="onlyrow"),
    CheckConstraint("(mark IS NULL) = (writer IS NULL)", name="mark"),
    CheckConstraint("restoredat IS NOT NULL OR num_nonnulls(lastknown, confirmedat) = 0", name="restoredat"),
)

idempotencykey = Table(
    "idempotencykey",
    metadata,
    Column("key", Text, primary_key=True),
    # Of the request's body.
    Column("digest", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
    Column("answer", Text, nullable=False),
    Index("ix_idempotencykey_at", "at"),
)

#: The tables of what belongs to jobs, which can be distributed (see `distribution`).
CELLED = (job, joblog, logattempt, logline, jobissue, jobopen, jobsecret, jobtally, jobthinned)
