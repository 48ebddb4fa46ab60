"""Limits, hosts, replicas, and the schema itself."""

from sqlalchemy import Boolean, CheckConstraint, Column, Integer, SmallInteger, Table, Text, true

from scheduler_api.database.tables.base import Instant, metadata

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
