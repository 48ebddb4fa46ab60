"""Runs are found by when they ended."""

from alembic import op

from scheduler_api.database.upgrading import build_index_of_parts

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

OPTIONS = "WITH (pages_per_range = 32, autosummarize = true)"


def upgrade() -> None:
    build_index_of_parts("ix_joblog_ended", "joblog", f"USING brin (finishedat) {OPTIONS}")


def downgrade() -> None:
    op.execute("DROP INDEX ix_joblog_ended")
