"""Runs by time, whatever their job."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A range of blocks has one entry, so it costs next to nothing to keep, and finds a day among years.
    op.create_index(
        "ix_joblog_scheduledfor",
        "joblog",
        ["scheduledfor"],
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": True},
    )
    op.create_index(
        "ix_joblog_through", "joblog", ["through"], postgresql_where=sa.text("through IS NOT NULL")
    )
    failed = sa.text("status = 'failed'")
    op.create_index("ix_joblog_failing", "joblog", ["jobid"], postgresql_where=failed)
    op.create_index("ix_joblog_failedat", "joblog", ["finishedat"], postgresql_where=failed)


def downgrade() -> None:
    for name in ("ix_joblog_failedat", "ix_joblog_failing", "ix_joblog_through"):
        op.drop_index(name, "joblog")
    op.drop_index("ix_joblog_scheduledfor", "joblog")
