"""Which days are kept, and what stays of those that are not."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from scheduler_api.database.tables.base import NEVER, metadata
from scheduler_api.database.tables.jobs import job

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
