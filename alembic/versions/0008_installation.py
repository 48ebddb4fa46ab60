"""The database keeps a mark of where it lives, so that a restored one is noticed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "installation",
        sa.Column("onlyrow", sa.Boolean, server_default=sa.true()),
        sa.Column("mark", sa.Text),
        sa.Column("writer", sa.Text),
        sa.Column("restoredat", instant),
        sa.Column("lastknown", instant),
        sa.Column("confirmedat", instant),
        sa.PrimaryKeyConstraint("onlyrow", name=op.f("pk_installation")),
        sa.CheckConstraint("onlyrow", name=op.f("ck_installation_onlyrow")),
        sa.CheckConstraint("(mark IS NULL) = (writer IS NULL)", name=op.f("ck_installation_mark")),
        sa.CheckConstraint(
            "restoredat IS NOT NULL OR num_nonnulls(lastknown, confirmedat) = 0",
            name=op.f("ck_installation_restoredat"),
        ),
    )
    # The first unit of work writes the mark.
    op.execute("INSERT INTO installation DEFAULT VALUES")


def downgrade() -> None:
    op.drop_table("installation")
