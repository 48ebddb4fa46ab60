"""What changes say of who did what is checked, beside all that goes on."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("action", "actor"):
        op.execute(f"ALTER TABLE jobchange VALIDATE CONSTRAINT ck_jobchange_{name}")


def downgrade() -> None:
    """A check that was made stays true."""
