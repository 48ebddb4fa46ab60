"""The database knows by which rules of time zones its next runs were timed."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("installation", sa.Column("zonerules", sa.Text))
    # The table was changed by hand, as it were: the database has not moved.
    op.execute("UPDATE installation SET mark = NULL, writer = NULL")


def downgrade() -> None:
    op.drop_column("installation", "zonerules")
    op.execute("UPDATE installation SET mark = NULL, writer = NULL")
