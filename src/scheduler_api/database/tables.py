"""The two tables, with every invariant that the database itself can keep."""

from sqlalchemy import (
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
    MetaData,
    String,
    Table,
    Text,
    Time,
    UniqueConstraint,
    text,
)

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
    Column("startdate", Date, nullable=False),
    Column("starttime", Time, nullable=False),
    Column("timezone", Text, nullable=False, server_default="UTC"),
    Column("repeat", Boolean, nullable=False),
    Column("interval", Integer),
    Column("misfire", Text, nullable=False, server_default="once"),
    Column("grace", Integer, nullable=False, server_default="60"),
    Column("active", Boolean, nullable=False),
    CheckConstraint("char_length(btrim(jobname)) >= 3", name="jobname"),
    CheckConstraint("repeat = (interval IS NOT NULL)", name="repeat"),
    CheckConstraint("interval >= 1", name="interval"),
    CheckConstraint("misfire IN ('once', 'all', 'skip')", name="misfire"),
    CheckConstraint("grace >= 1", name="grace"),
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
    Column("startedat", Instant),
    Column("finishedat", Instant),
    Column("reason", Text),
    Column("error", Text),
    # One row per occurrence: whoever promises it twice gets a conflict. Serves a job's history too.
    UniqueConstraint("jobid", "scheduledfor", name="uq_joblog_jobid_scheduledfor"),
    CheckConstraint("status IN ('pending', 'running', 'finished', 'failed', 'skipped')", name="status"),
    CheckConstraint("cause IN ('schedule')", name="cause"),
    CheckConstraint("attempt >= 1", name="attempt"),
    CheckConstraint("missed >= 0", name="missed"),
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
