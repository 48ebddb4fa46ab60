"""What a job is for, who looks after it, what to do when it fails; jobs inserted by hand; bodies of runs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ADDED = ("description", "owner", "runbook")
#: What the original's three columns leave out.
DEFAULTS = {"repeat": "false", "active": "true", "createdat": "now()", "validfrom": "now()"}


def upgrade() -> None:
    for name in ADDED:
        op.add_column("job", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("joblog", sa.Column("body", postgresql.JSONB))
    for name, default in DEFAULTS.items():
        op.alter_column("job", name, server_default=sa.text(default))


def downgrade() -> None:
    op.drop_column("joblog", "body")
    for name in DEFAULTS:
        op.alter_column("job", name, server_default=None)
    for name in ADDED:
        op.drop_column("job", name)
