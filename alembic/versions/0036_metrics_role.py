"""A role for those who read metrics only."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

ROLES = {
    "useraccount": "'viewer', 'operator', 'editor', 'admin'",
    "projectrole": "'viewer', 'operator', 'editor'",
    "apikey": "'viewer', 'operator', 'editor', 'admin'",
}


def upgrade() -> None:
    for table, roles in ROLES.items():
        _allow(table, f"'metrics', {roles}")


def downgrade() -> None:
    op.execute("DELETE FROM apikey WHERE role = 'metrics'")
    op.execute("DELETE FROM projectrole WHERE role = 'metrics'")
    op.execute("UPDATE useraccount SET role = NULL WHERE role = 'metrics'")
    for table, roles in ROLES.items():
        _allow(table, roles)


def _allow(table: str, roles: str) -> None:
    """Let a table hold these roles; what is there holds all the same."""
    name = f"ck_{table}_role"
    ignored = "-- squawk-ignore ban-drop-constraint"
    op.execute(f"{ignored}\nALTER TABLE {table} DROP CONSTRAINT {name}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK (role IN ({roles})) NOT VALID")
