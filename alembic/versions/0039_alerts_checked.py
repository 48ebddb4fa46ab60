"""What was done, and how many issues jobs have, are checked, beside all that goes on."""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, constraint in (("job", "ck_job_openissues"), ("auditevent", "ck_auditevent_action")):
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")


def downgrade() -> None:
    """A check that was made stays true."""
