"""A job that is removed with a long history is out of sight while its rows go."""

import sqlalchemy as sa
from alembic import op

from scheduler_api.database.upgrading import outdate

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Older code would show it.
    outdate(17)
    op.add_column("job", sa.Column("removedat", sa.DateTime(timezone=True)))
    op.create_index("ix_job_removedat", "job", ["jobid"], postgresql_where=sa.text("removedat IS NOT NULL"))


def downgrade() -> None:
    # What was being removed is deleted, with what is left of its history.
    op.drop_index("ix_job_removedat", "job")
    op.drop_column("job", "removedat")
    op.execute("UPDATE schemaversion SET compatiblefrom = 15")
