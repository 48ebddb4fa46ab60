"""Users whom an identity provider signs in, and tries to do so that are in progress."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "useridentity",
        sa.Column("issuer", sa.Text(), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column(
            "userid",
            sa.BigInteger(),
            sa.ForeignKey("useraccount.userid", ondelete="CASCADE"),
            nullable=False,
            unique=True,
        ),
    )
    op.create_table(
        "signinattempt",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("createdat", INSTANT, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("back", sa.Text(), nullable=False),
    )
    op.create_index("ix_signinattempt_address", "signinattempt", ["address", "createdat"])
    op.create_index("ix_signinattempt_createdat", "signinattempt", ["createdat"])


def downgrade() -> None:
    op.drop_table("signinattempt")
    op.drop_table("useridentity")
