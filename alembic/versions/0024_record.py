"""Jobs that record failures only: of their runs that finished no rows are kept when their day is closed."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("record", sa.Text(), nullable=False, server_default="all"))
    op.create_table(
        "jobthinned",
        sa.Column("jobid", sa.BigInteger(), sa.ForeignKey("job.jobid", ondelete="CASCADE"), primary_key=True),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("goneto", sa.Date(), nullable=False, server_default=sa.text("'-infinity'")),
    )
    op.create_index("ix_jobthinned_left", "jobthinned", ["jobid"], postgresql_where=sa.text("goneto < since"))
    op.execute("ALTER TABLE job ADD CONSTRAINT ck_job_record CHECK (record IN ('all', 'failures')) NOT VALID")


def downgrade() -> None:
    op.drop_table("jobthinned")
    op.drop_column("job", "record")
