"""Projects of jobs and keys are found by indexes, and checked, beside all that goes on."""

from alembic import op

from scheduler_api.database.upgrading import build_index

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index("ix_job_project", "ON job (project, jobid)")
    build_index("ix_apikey_project", "ON apikey (project) WHERE project IS NOT NULL")
    for table, constraint in (
        ("job", "fk_job_project"),
        ("apikey", "fk_apikey_project"),
        ("jobchange", "ck_jobchange_action"),
    ):
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS ix_apikey_project")
    op.execute("DROP INDEX IF EXISTS ix_job_project")
