"""Roles are checked, beside all that goes on."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("useraccount", "projectrole", "apikey"):
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT ck_{table}_role")


def downgrade() -> None:
    """A check that was made stays true."""
