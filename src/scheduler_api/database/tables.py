"""The tables, with every invariant that the database itself can keep."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    Time,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

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

job = Table(
    "job",
    metadata,
    Column("jobid", BigInteger, Identity(always=True), primary_key=True),
    Column("jobname", String(100), nullable=False),
    Column("startdate", Date),
    Column("starttime", Time),
    Column("timezone", Text, nullable=False, server_default="UTC"),
    Column("repeat", Boolean, nullable=False),
    Column("interval", Integer),
    Column("cron", Text),
    Column("until", Instant),
    Column("maxruns", Integer),
    Column("exclude", ARRAY(Text), nullable=False, server_default="{}"),
    Column("dstgap", Text, nullable=False, server_default="after"),
    Column("dstfold", Text, nullable=False, server_default="once"),
    Column("jitter", Integer, nullable=False, server_default="0"),
    Column("misfire", Text, nullable=False, server_default="once"),
    Column("grace", Integer, nullable=False, server_default="60"),
    Column("tags", ARRAY(Text), nullable=False, server_default="{}"),
    # State, which no edit of the definition changes. An inactive job that is not paused is completed.
    Column("active", Boolean, nullable=False),
    Column("pausedat", Instant),
    Column("pausereason", Text),
    Column("pauseduntil", Instant),
    # While paused: the first occurrence that the ledger does not account for; none if there is none.
    Column("resumefrom", Instant),
    Column("deletedat", Instant),
    # Counts the changes that people make; the entity tag.
    Column("version", Integer, nullable=False, server_default="1"),
    Column("createdat", Instant, nullable=False),
    # The present schedule calls for the occurrences later than this.
    Column("validfrom", Instant, nullable=False),
    CheckConstraint("char_length(btrim(jobname)) >= 3", name="jobname"),
    CheckConstraint("repeat = (num_nonnulls(interval, cron) = 1)", name="repeat"),
    CheckConstraint("num_nonnulls(interval, cron) <= 1", name="kind"),
    CheckConstraint("cron IS NOT NULL OR num_nulls(startdate, starttime) = 0", name="start"),
    CheckConstraint("interval >= 1", name="interval"),
    CheckConstraint("maxruns >= 1", name="maxruns"),
    CheckConstraint("dstgap IN ('after', 'skip')", name="dstgap"),
    CheckConstraint("dstfold IN ('once', 'both')", name="dstfold"),
    CheckConstraint("jitter >= 0", name="jitter"),
    CheckConstraint("misfire IN ('once', 'all', 'skip')", name="misfire"),
    CheckConstraint("grace >= 1", name="grace"),
    CheckConstraint("NOT (active AND num_nonnulls(pausedat, deletedat) > 0)", name="active"),
    CheckConstraint(
        "pausedat IS NOT NULL OR num_nonnulls(pausereason, pauseduntil, resumefrom) = 0", name="pausedat"
    ),
    Index("ix_job_tags", "tags", postgresql_using="gin"),
    # The tickers look for the pause that ends first.
    Index("ix_job_pauseduntil", "pauseduntil", postgresql_where=text("pauseduntil IS NOT NULL")),
)

joblog = Table(
    "joblog",
    metadata,
    Column("logid", BigInteger, Identity(always=True), primary_key=True),
    Column("jobid", ForeignKey(job.c.jobid, ondelete="CASCADE"), nullable=False),
    Column("scheduledfor", Instant, nullable=False),
    Column("nextrun", Instant),
    Column("lastrun", Instant),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("cause", Text, nullable=False, server_default="schedule"),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("missed", BigInteger, nullable=False, server_default="0"),
    # The last of the occurrences that the row stands for.
    Column("through", Instant),
    # How often the schedule had made the job run by then, this run included; what maxruns bounds.
    Column("runs", Integer, nullable=False, server_default="0"),
    Column("startedat", Instant),
    Column("finishedat", Instant),
    Column("reason", Text),
    Column("error", Text),
    # One row per occurrence: whoever promises it twice gets a conflict. Serves a job's history too.
    UniqueConstraint("jobid", "scheduledfor", "cause", name="uq_joblog_occurrence"),
    CheckConstraint("status IN ('pending', 'running', 'finished', 'failed', 'skipped')", name="status"),
    CheckConstraint("cause IN ('schedule', 'manual', 'backfill')", name="cause"),
    CheckConstraint("attempt >= 1", name="attempt"),
    CheckConstraint("missed >= 0", name="missed"),
    CheckConstraint("(missed > 0) = (through IS NOT NULL)", name="through"),
    CheckConstraint("(status = 'pending') = (nextrun IS NOT NULL)", name="nextrun"),
    CheckConstraint(
        "(status IN ('finished', 'failed', 'skipped')) = (finishedat IS NOT NULL)",
        name="finishedat",
    ),
    CheckConstraint("(status = 'skipped') = (reason IS NOT NULL)", name="reason"),
    CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name="error"),
    # At most one first-try promise per job: two schedulers can not fork a schedule in two.
    Index(
        "uq_joblog_promise",
        "jobid",
        unique=True,
        postgresql_where=text("status = 'pending' AND attempt = 1 AND cause = 'schedule'"),
    ),
    # The claim's index holds live rows only, so its cost does not grow with history.
    Index("ix_joblog_due", "nextrun", "logid", postgresql_where=text("status = 'pending'")),
)

jobchange = Table(
    "jobchange",
    metadata,
    Column("changeid", BigInteger, Identity(always=True), primary_key=True),
    Column("jobid", ForeignKey(job.c.jobid, ondelete="CASCADE"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("action", Text, nullable=False),
    # Who asked for it, as far as known; null: the service itself.
    Column("client", Text),
    Column("before", JSONB),
    Column("after", JSONB),
    CheckConstraint(
        "action IN ('created', 'edited', 'paused', 'resumed', 'deleted', 'skipped')", name="action"
    ),
    Index("ix_jobchange_jobid_changeid", "jobid", "changeid"),
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
