"""History knows up to which day it was exported."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("history", sa.Column("exportedto", sa.Date(), nullable=False, server_default="-infinity"))


def downgrade() -> None:
    op.drop_column("history", "exportedto")
