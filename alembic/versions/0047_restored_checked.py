"""What was done is checked, beside all that goes on."""

from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE auditevent VALIDATE CONSTRAINT ck_auditevent_action")


def downgrade() -> None:
    """A check that was made stays true."""
