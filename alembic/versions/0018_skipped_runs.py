"""Skipped runs are found by an index, as failed ones are."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_joblog_skipped", "joblog", ["logid"], postgresql_where=sa.text("status = 'skipped'"))


def downgrade() -> None:
    op.drop_index("ix_joblog_skipped", "joblog")
