"""Cron, policies, tags and states of jobs; what each log stands for; the changes of jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
JOB_CHECKS = {
    "kind": "num_nonnulls(interval, cron) <= 1",
    "start": "cron IS NOT NULL OR num_nulls(startdate, starttime) = 0",
    "maxruns": "maxruns >= 1",
    "dstgap": "dstgap IN ('after', 'skip')",
    "dstfold": "dstfold IN ('once', 'both')",
    "jitter": "jitter >= 0",
    "active": "NOT (active AND num_nonnulls(pausedat, deletedat) > 0)",
    "pausedat": "pausedat IS NOT NULL OR num_nonnulls(pausereason, pauseduntil, resumefrom) = 0",
}


def upgrade() -> None:
    _extend_job()
    _extend_joblog()
    op.create_table(
        "jobchange",
        sa.Column("changeid", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("jobid", sa.BigInteger, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("client", sa.Text),
        sa.Column("before", JSONB),
        sa.Column("after", JSONB),
        sa.PrimaryKeyConstraint("changeid", name="pk_jobchange"),
        sa.ForeignKeyConstraint(["jobid"], ["job.jobid"], name="fk_jobchange_jobid", ondelete="CASCADE"),
        sa.CheckConstraint(
            "action IN ('created', 'edited', 'paused', 'resumed', 'deleted', 'skipped')",
            name=op.f("ck_jobchange_action"),
        ),
    )
    op.create_index("ix_jobchange_jobid_changeid", "jobchange", ["jobid", "changeid"])
    op.create_table(
        "idempotencykey",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_idempotencykey"),
    )
    op.create_index("ix_idempotencykey_at", "idempotencykey", ["at"])


def _extend_job() -> None:
    for column in (
        sa.Column("cron", sa.Text),
        sa.Column("until", INSTANT),
        sa.Column("maxruns", sa.Integer),
        sa.Column("exclude", ARRAY(sa.Text), nullable=False, server_default="{}"),
        sa.Column("dstgap", sa.Text, nullable=False, server_default="after"),
        sa.Column("dstfold", sa.Text, nullable=False, server_default="once"),
        sa.Column("jitter", sa.Integer, nullable=False, server_default="0"),
        sa.Column("tags", ARRAY(sa.Text), nullable=False, server_default="{}"),
        sa.Column("pausedat", INSTANT),
        sa.Column("pausereason", sa.Text),
        sa.Column("pauseduntil", INSTANT),
        sa.Column("resumefrom", INSTANT),
        sa.Column("deletedat", INSTANT),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("createdat", INSTANT),
        sa.Column("validfrom", INSTANT),
    ):
        op.add_column("job", column)
    # What the tables tell of the past: a job is at least as old as its first occurrence, and one that
    # was created inactive has no log.
    op.execute(
        """
        UPDATE job SET createdat = past.since, validfrom = past.since,
                       pausedat = CASE WHEN past.paused THEN now() END
        FROM (
            SELECT job.jobid, least(min(scheduledfor) - interval '1 microsecond', now()) AS since,
                   NOT active AND count(logid) = 0 AS paused
            FROM job LEFT JOIN joblog ON joblog.jobid = job.jobid GROUP BY job.jobid
        ) AS past
        WHERE past.jobid = job.jobid
        """
    )
    op.alter_column("job", "createdat", nullable=False)
    op.alter_column("job", "validfrom", nullable=False)
    op.alter_column("job", "startdate", nullable=True)
    op.alter_column("job", "starttime", nullable=True)
    op.drop_constraint("ck_job_repeat", "job")
    op.create_check_constraint(op.f("ck_job_repeat"), "job", "repeat = (num_nonnulls(interval, cron) = 1)")
    for name, rule in JOB_CHECKS.items():
        op.create_check_constraint(op.f(f"ck_job_{name}"), "job", rule)
    op.create_index("ix_job_tags", "job", ["tags"], postgresql_using="gin")
    op.create_index(
        "ix_job_pauseduntil", "job", ["pauseduntil"], postgresql_where=sa.text("pauseduntil IS NOT NULL")
    )


def _extend_joblog() -> None:
    op.add_column("joblog", sa.Column("through", INSTANT))
    op.add_column("joblog", sa.Column("runs", sa.Integer, nullable=False, server_default="0"))
    op.execute(
        """
        UPDATE joblog SET through = scheduledfor + missed * make_interval(secs => job.interval)
        FROM job WHERE job.jobid = joblog.jobid AND missed > 0
        """
    )
    op.create_check_constraint(op.f("ck_joblog_through"), "joblog", "(missed > 0) = (through IS NOT NULL)")
    op.drop_constraint("ck_joblog_cause", "joblog")
    op.create_check_constraint(
        op.f("ck_joblog_cause"), "joblog", "cause IN ('schedule', 'manual', 'backfill')"
    )
    op.drop_constraint("uq_joblog_jobid_scheduledfor", "joblog")
    op.create_unique_constraint("uq_joblog_occurrence", "joblog", ["jobid", "scheduledfor", "cause"])


def downgrade() -> None:
    """Back to jobs without cron: those that have one, and runs by request, are lost."""
    op.drop_table("idempotencykey")
    op.drop_table("jobchange")
    op.execute("DELETE FROM joblog WHERE cause <> 'schedule'")
    op.execute("DELETE FROM job WHERE cron IS NOT NULL OR deletedat IS NOT NULL")
    op.drop_constraint("uq_joblog_occurrence", "joblog")
    op.create_unique_constraint("uq_joblog_jobid_scheduledfor", "joblog", ["jobid", "scheduledfor"])
    op.drop_constraint("ck_joblog_cause", "joblog")
    op.create_check_constraint(op.f("ck_joblog_cause"), "joblog", "cause IN ('schedule')")
    op.drop_constraint("ck_joblog_through", "joblog")
    op.drop_column("joblog", "runs")
    op.drop_column("joblog", "through")
    op.drop_index("ix_job_pauseduntil", "job")
    op.drop_index("ix_job_tags", "job")
    for name in JOB_CHECKS:
        op.drop_constraint(f"ck_job_{name}", "job")
    op.drop_constraint("ck_job_repeat", "job")
    op.create_check_constraint(op.f("ck_job_repeat"), "job", "repeat = (interval IS NOT NULL)")
    op.alter_column("job", "starttime", nullable=False)
    op.alter_column("job", "startdate", nullable=False)
    for column in (
        "cron",
        "until",
        "maxruns",
        "exclude",
        "dstgap",
        "dstfold",
        "jitter",
        "tags",
        "pausedat",
        "pausereason",
        "pauseduntil",
        "resumefrom",
        "deletedat",
        "version",
        "createdat",
        "validfrom",
    ):
        op.drop_column("job", column)
