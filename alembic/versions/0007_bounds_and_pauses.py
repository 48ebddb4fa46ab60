"""What an edit leaves of the time before it, who paused a job, and runs beside the schedule by time."""

import sqlalchemy as sa
from alembic import op

from scheduler_api.database.upgrading import outdate

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

OF_PAUSES = "pausedat IS NOT NULL OR num_nonnulls(pausereason, pauseduntil, resumefrom{}) = 0"


def upgrade() -> None:
    # Older code writes off what an edit is to keep.
    outdate(7)
    instants = sa.ARRAY(sa.DateTime(timezone=True))
    op.add_column("job", sa.Column("kept", instants, nullable=False, server_default="{}"))
    op.add_column("job", sa.Column("pauseid", sa.Uuid()))
    _bound_pauses(OF_PAUSES.format(", pauseid"))
    given = sa.text("pauseid IS NOT NULL")
    op.create_index("ix_job_pauseid", "job", ["pauseid"], postgresql_where=given)
    op.create_index(
        "ix_joblog_beside",
        "joblog",
        ["jobid", "startedat"],
        postgresql_where=sa.text("cause <> 'schedule' AND startedat IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("UPDATE schemaversion SET compatiblefrom = 6")
    op.drop_index("ix_joblog_beside", "joblog")
    op.drop_index("ix_job_pauseid", "job")
    _bound_pauses(OF_PAUSES.format(""))
    op.drop_column("job", "pauseid")
    op.drop_column("job", "kept")


def _bound_pauses(rule: str) -> None:
    op.drop_constraint("ck_job_pausedat", "job")
    op.create_check_constraint(op.f("ck_job_pausedat"), "job", rule)
