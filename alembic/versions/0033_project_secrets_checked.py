"""Jobs that name a secret are found by an index, and what was done is checked, beside all that goes on."""

from alembic import op

from scheduler_api.database.upgrading import build_index

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index("ix_job_secretnames", "ON job USING gin (secretnames) WHERE cardinality(secretnames) > 0")
    op.execute("ALTER TABLE auditevent VALIDATE CONSTRAINT ck_auditevent_action")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS ix_job_secretnames")
