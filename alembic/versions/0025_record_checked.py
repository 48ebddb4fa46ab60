"""What jobs say of their records is checked, beside all that goes on."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE job VALIDATE CONSTRAINT ck_job_record")


def downgrade() -> None:
    """A check that was made stays true."""
