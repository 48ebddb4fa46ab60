"""Quotas, limits and what was done are checked, beside all that goes on."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, constraint in (
        ("project", "ck_project_quotas"),
        ("concurrencylimit", "ck_concurrencylimit_scope"),
        ("auditevent", "ck_auditevent_action"),
    ):
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")


def downgrade() -> None:
    """A check that was made stays true."""
