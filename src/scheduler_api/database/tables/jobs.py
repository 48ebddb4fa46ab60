"""Jobs, and what is theirs alone."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    String,
    Table,
    Text,
    Time,
    Uuid,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from scheduler_api.contracts.values import DEFAULT_PROJECT
from scheduler_api.database.tables.base import Instant, LogStatus, RunKind, metadata

job = Table(
    "job",
    metadata,
    Column("jobid", BigInteger, Identity(always=True), primary_key=True),
    Column("jobname", String(100), nullable=False),
    # Whatever looks at all jobs looks at these, and to read a column takes time for each one before it. What
    # a search looks for a text in: the name, the host and the tags, in lower case, each in a line of its own.
    Column("words", Text, Computed("jobwords(jobname, host, tags)", persisted=True)),
    Column("cron", Text),
    # State, which no edit of the definition changes. An inactive job that is not paused is completed.
    Column("active", Boolean, nullable=False, server_default="true"),
    Column("pausedat", Instant),
    Column("deletedat", Instant),
    Column("startdate", Date),
    Column("starttime", Time),
    Column("timezone", Text, nullable=False, server_default="UTC"),
    Column("repeat", Boolean, nullable=False, server_default="false"),
    Column("interval", Integer),
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
    # Of a pause: why, and until when.
    Column("pausereason", Text),
    Column("pauseduntil", Instant),
    # While paused: the first occurrence that the ledger does not account for; none if there is none.
    Column("resumefrom", Instant),
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


def _create_words(_: Any, connection: Any, **__: Any) -> None:
    connection.execute(text(CREATE_WORDS))


def _index_words(_: Any, connection: Any, **__: Any) -> None:
    for statement in INDEX_WORDS:
        connection.execute(text(statement))


event.listen(metadata, "before_create", _create_words)
event.listen(metadata, "after_create", _index_words)

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
