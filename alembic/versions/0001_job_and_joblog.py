"""The tables job and joblog."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "job",
        sa.Column("jobid", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("jobname", sa.String(100), nullable=False),
        sa.Column("startdate", sa.Date, nullable=False),
        sa.Column("starttime", sa.Time, nullable=False),
        sa.Column("timezone", sa.Text, nullable=False, server_default="UTC"),
        sa.Column("repeat", sa.Boolean, nullable=False),
        sa.Column("interval", sa.Integer),
        sa.Column("misfire", sa.Text, nullable=False, server_default="once"),
        sa.Column("grace", sa.Integer, nullable=False, server_default="60"),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("jobid", name="pk_job"),
        sa.CheckConstraint("char_length(btrim(jobname)) >= 3", name=op.f("ck_job_jobname")),
        sa.CheckConstraint("repeat = (interval IS NOT NULL)", name=op.f("ck_job_repeat")),
        sa.CheckConstraint("interval >= 1", name=op.f("ck_job_interval")),
        sa.CheckConstraint("misfire IN ('once', 'all', 'skip')", name=op.f("ck_job_misfire")),
        sa.CheckConstraint("grace >= 1", name=op.f("ck_job_grace")),
    )
    op.create_table(
        "joblog",
        sa.Column("logid", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("jobid", sa.BigInteger, nullable=False),
        sa.Column("scheduledfor", instant, nullable=False),
        sa.Column("nextrun", instant),
        sa.Column("lastrun", instant),
        sa.Column("status", sa.Text, nullable=False, server_default="pending"),
        sa.Column("cause", sa.Text, nullable=False, server_default="schedule"),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
        sa.Column("missed", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("startedat", instant),
        sa.Column("finishedat", instant),
        sa.Column("reason", sa.Text),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("logid", name="pk_joblog"),
        sa.UniqueConstraint("jobid", "scheduledfor", name="uq_joblog_jobid_scheduledfor"),
        sa.ForeignKeyConstraint(["jobid"], ["job.jobid"], name="fk_joblog_jobid", ondelete="CASCADE"),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'finished', 'failed', 'skipped')",
            name=op.f("ck_joblog_status"),
        ),
        sa.CheckConstraint("cause IN ('schedule')", name=op.f("ck_joblog_cause")),
        sa.CheckConstraint("attempt >= 1", name=op.f("ck_joblog_attempt")),
        sa.CheckConstraint("missed >= 0", name=op.f("ck_joblog_missed")),
        sa.CheckConstraint("(status = 'pending') = (nextrun IS NOT NULL)", name=op.f("ck_joblog_nextrun")),
        sa.CheckConstraint(
            "(status IN ('finished', 'failed', 'skipped')) = (finishedat IS NOT NULL)",
            name=op.f("ck_joblog_finishedat"),
        ),
        sa.CheckConstraint("(status = 'skipped') = (reason IS NOT NULL)", name=op.f("ck_joblog_reason")),
        sa.CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name=op.f("ck_joblog_error")),
    )
    op.create_index(
        "uq_joblog_promise",
        "joblog",
        ["jobid"],
        unique=True,
        postgresql_where=sa.text("status = 'pending' AND attempt = 1 AND cause = 'schedule'"),
    )
    op.create_index(
        "ix_joblog_due",
        "joblog",
        ["nextrun", "logid"],
        postgresql_where=sa.text("status = 'pending'"),
    )
    # Live rows turn into dead index entries fast: vacuum early, and leave room for updates in place.
    op.execute(
        """
        ALTER TABLE joblog SET (
            fillfactor = 85,
            autovacuum_vacuum_scale_factor = 0.01,
            autovacuum_vacuum_threshold = 500,
            autovacuum_vacuum_cost_delay = 0
        )
        """
    )


def downgrade() -> None:
    op.drop_table("joblog")
    op.drop_table("job")
