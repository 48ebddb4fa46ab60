"""Runs: one relation for all who read them, in parts by day."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import CreateIndex

from scheduler_api.database.tables.base import Instant, LogCause, LogStatus, RunKind, metadata

#: The rows of a run (its log, attempts and lines) have one `day`: that of its occurrence, once it is settled.
#: Until then they are live, and so is what was skipped ahead of its time, as an edit may forget it.
LIVE_DAY = text("'infinity'")
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


def _create_live(_: Any, connection: Any, **__: Any) -> None:
    for statement in CREATE_LIVE:
        connection.execute(text(statement))
    for index in joblog_live.indexes:
        connection.execute(CreateIndex(index))


event.listen(metadata, "after_create", _create_live)
