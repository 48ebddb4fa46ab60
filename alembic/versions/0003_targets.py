"""Targets: what runs call, attempts, leases, secrets, limits, hosts that fail; jobs that run after others."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
JOB_CHECKS = {
    "target": "(target IS NULL) = (host IS NULL)",
    "concurrency": "concurrency >= 1",
    "autopause": "autopause >= 1",
    "after": "(after IS NULL) = (afterjobid IS NULL)",
    "noschedule": "after IS NULL OR num_nonnulls(startdate, starttime, interval, cron, until, maxruns) = 0",
}
JOBLOG_CHECKS = {
    "lease": "(status = 'running') = (num_nonnulls(leasetoken, leaseuntil) = 2)",
    "leasetoken": "num_nonnulls(leasetoken, leaseuntil) <> 1",
    "following": "following IS NULL OR status IN ('pending', 'running')",
    "spent": "spent >= 0 AND spent < attempt",
    "parentlogid": "(cause = 'after') = (parentlogid IS NOT NULL)",
}
#: The partial indexes of joblog: their columns, and their conditions before and since.
INDEXES = {
    "uq_joblog_promise": (
        ["jobid"],
        "status = 'pending' AND attempt = 1 AND cause = 'schedule'",
        "cause = 'schedule' AND (status = 'pending' AND attempt = 1 OR following IS NOT NULL)",
    ),
    "ix_joblog_due": (["nextrun", "logid"], "status = 'pending'", "status = 'pending' AND host IS NULL"),
    "ix_joblog_calls": (["nextrun", "logid"], None, "status = 'pending' AND host IS NOT NULL"),
    "ix_joblog_retry": (["jobid"], None, "status = 'pending' AND attempt > 1"),
    "ix_joblog_failed": (["logid"], None, "status = 'failed'"),
    "ix_joblog_running": (["jobid", "host"], None, "status = 'running'"),
}


def upgrade() -> None:
    op.add_column("job", sa.Column("target", JSONB))
    op.add_column("job", sa.Column("host", sa.Text))
    op.add_column("job", sa.Column("after", JSONB))
    op.add_column("job", sa.Column("afterjobid", sa.BigInteger))
    op.add_column("job", sa.Column("overlap", sa.Boolean, nullable=False, server_default="false"))
    op.add_column("job", sa.Column("concurrency", sa.Integer))
    op.add_column("job", sa.Column("autopause", sa.Integer))
    op.add_column("joblog", sa.Column("parentlogid", sa.BigInteger))
    op.add_column("joblog", sa.Column("host", sa.Text))
    op.add_column("joblog", sa.Column("following", INSTANT))
    op.add_column("joblog", sa.Column("leasetoken", sa.Uuid))
    op.add_column("joblog", sa.Column("leaseuntil", INSTANT))
    op.add_column("joblog", sa.Column("spent", sa.Integer, nullable=False, server_default="0"))
    for table, checks in (("job", JOB_CHECKS), ("joblog", JOBLOG_CHECKS)):
        for name, rule in checks.items():
            op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
    op.drop_constraint("ck_job_start", "job")
    op.create_check_constraint(
        op.f("ck_job_start"), "job", "num_nonnulls(cron, after) > 0 OR num_nulls(startdate, starttime) = 0"
    )
    op.drop_constraint("ck_joblog_cause", "joblog")
    op.create_check_constraint(
        op.f("ck_joblog_cause"), "joblog", "cause IN ('schedule', 'manual', 'backfill', 'after')"
    )
    op.drop_constraint("uq_joblog_occurrence", "joblog")
    op.create_unique_constraint(
        "uq_joblog_occurrence",
        "joblog",
        ["jobid", "scheduledfor", "cause", "parentlogid"],
        postgresql_nulls_not_distinct=True,
    )
    op.create_index(
        "ix_job_afterjobid", "job", ["afterjobid"], postgresql_where=sa.text("afterjobid IS NOT NULL")
    )
    for name, (columns, before, since) in INDEXES.items():
        _change_index(name, columns, before, since)
    _create_tables()


def _change_index(name: str, columns: list[str], before: str | None, since: str | None) -> None:
    if before is not None:
        op.drop_index(name, "joblog")
    if since is not None:
        op.create_index(
            name, "joblog", columns, unique=name.startswith("uq_"), postgresql_where=sa.text(since)
        )


def _create_tables() -> None:
    op.create_table(
        "logattempt",
        sa.Column("logid", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("startedat", INSTANT, nullable=False),
        sa.Column("finishedat", INSTANT),
        sa.Column("outcome", sa.Text, nullable=False, server_default="running"),
        sa.Column("failure", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("httpstatus", sa.Integer),
        sa.Column("timing", JSONB),
        sa.Column("excerpt", sa.Text),
        sa.Column("progress", sa.Integer),
        sa.Column("message", sa.Text),
        sa.Column("replica", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("logid", "attempt", name="pk_logattempt"),
        sa.ForeignKeyConstraint(["logid"], ["joblog.logid"], name="fk_logattempt_logid", ondelete="CASCADE"),
        sa.CheckConstraint("attempt >= 1", name=op.f("ck_logattempt_attempt")),
        sa.CheckConstraint(
            "outcome IN ('running', 'accepted', 'finished', 'failed', 'lost', 'cancelled', 'released')",
            name=op.f("ck_logattempt_outcome"),
        ),
        sa.CheckConstraint(
            "(outcome IN ('running', 'accepted')) = (finishedat IS NULL)",
            name=op.f("ck_logattempt_finishedat"),
        ),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name=op.f("ck_logattempt_progress")),
    )
    op.create_table(
        "logline",
        sa.Column("lineid", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("logid", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("lineid", name="pk_logline"),
        sa.ForeignKeyConstraint(["logid"], ["joblog.logid"], name="fk_logline_logid", ondelete="CASCADE"),
    )
    op.create_index("ix_logline_logid_lineid", "logline", ["logid", "lineid"])
    op.create_table(
        "jobsecret",
        sa.Column("secretid", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("jobid", sa.BigInteger, nullable=False),
        sa.Column("createdat", INSTANT, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("secretid", name="pk_jobsecret"),
        sa.ForeignKeyConstraint(["jobid"], ["job.jobid"], name="fk_jobsecret_jobid", ondelete="CASCADE"),
    )
    op.create_index("ix_jobsecret_jobid", "jobsecret", ["jobid"])
    op.create_table(
        "concurrencylimit",
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("most", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("scope", "name", name="pk_concurrencylimit"),
        sa.CheckConstraint("scope IN ('tag', 'host')", name=op.f("ck_concurrencylimit_scope")),
        sa.CheckConstraint("most >= 1", name=op.f("ck_concurrencylimit_most")),
    )
    op.create_table(
        "hostfailure",
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("openuntil", INSTANT),
        sa.Column("error", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("host", name="pk_hostfailure"),
    )


def downgrade() -> None:
    """Back to jobs that call nothing: runs under way fail, their jobs go on as plain ones.

    Jobs that run after others are lost.
    """
    op.execute("DELETE FROM job WHERE after IS NOT NULL")
    op.execute("DELETE FROM joblog WHERE cause = 'after'")
    for table in ("hostfailure", "concurrencylimit", "jobsecret", "logline", "logattempt"):
        op.drop_table(table)
    for name, (columns, before, since) in INDEXES.items():
        _change_index(name, columns, since, before)
    for table, checks in (("joblog", JOBLOG_CHECKS), ("job", JOB_CHECKS)):
        for name in checks:
            op.drop_constraint(f"ck_{table}_{name}", table)
    # What carried a job's future gives it back as a promise.
    op.execute(
        """
        INSERT INTO joblog (jobid, scheduledfor, nextrun, lastrun, runs)
        SELECT jobid, following, following, lastrun, runs FROM joblog WHERE following IS NOT NULL
        ON CONFLICT DO NOTHING
        """
    )
    op.execute(
        """
        UPDATE joblog SET status = 'failed', nextrun = NULL, finishedat = now(),
                          error = 'The schema was taken back to one without targets.'
        WHERE status = 'running' OR status = 'pending' AND attempt > 1
        """
    )
    op.drop_constraint("uq_joblog_occurrence", "joblog")
    op.create_unique_constraint("uq_joblog_occurrence", "joblog", ["jobid", "scheduledfor", "cause"])
    op.drop_constraint("ck_joblog_cause", "joblog")
    op.create_check_constraint(
        op.f("ck_joblog_cause"), "joblog", "cause IN ('schedule', 'manual', 'backfill')"
    )
    op.drop_index("ix_job_afterjobid", "job")
    op.drop_constraint("ck_job_start", "job")
    op.create_check_constraint(
        op.f("ck_job_start"), "job", "cron IS NOT NULL OR num_nulls(startdate, starttime) = 0"
    )
    for column in ("parentlogid", "spent", "leaseuntil", "leasetoken", "following", "host"):
        op.drop_column("joblog", column)
    for column in ("afterjobid", "after", "autopause", "concurrency", "overlap", "host", "target"):
        op.drop_column("job", column)
