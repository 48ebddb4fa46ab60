"""What passes take, and monitors by their tokens, are found by indexes."""

from alembic import op

from scheduler_api.database.upgrading import build_index

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index(
        "ix_joblog_live_passes",
        "ON joblog_live (nextrun, logid) WHERE status = 'pending' AND kind <> 'http'",
    )
    build_index("ix_job_monitortoken", "ON job (monitortoken) WHERE monitortoken IS NOT NULL", is_unique=True)
    with op.get_context().autocommit_block():
        # Code of before finds what is plain by the new one as well.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_joblog_live_due")
    # The new kind could not be named before.
    op.execute(
        "ALTER TABLE job ADD CONSTRAINT ck_job_monitor CHECK ((kind = 'monitor') = (monitor IS NOT NULL)"
        " AND (kind = 'monitor') = (monitortoken IS NOT NULL)) NOT VALID"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE job DROP CONSTRAINT ck_job_monitor")
    # The value stays, as no value of a type can be taken away.
    for table in ("job", "joblog"):
        op.execute(f"UPDATE {table} SET kind = 'plain' WHERE kind = 'monitor'")
    op.execute("DROP INDEX ix_job_monitortoken")
    op.execute("DROP INDEX ix_joblog_live_passes")
    op.execute(
        "CREATE INDEX ix_joblog_live_due ON joblog_live (nextrun, logid)"
        " WHERE status = 'pending' AND kind = 'plain'"
    )
