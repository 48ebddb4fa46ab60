"""Repairs are kept among the changes of a job; the schema says which versions of the code may write."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ACTIONS = ("created", "edited", "paused", "resumed", "deleted", "skipped")


def upgrade() -> None:
    _allow(*ACTIONS, "repaired")
    repaired = sa.text("action = 'repaired'")
    op.create_index("ix_jobchange_repaired", "jobchange", ["at"], postgresql_where=repaired)
    # A migration after which older code would do harm raises this to its own number.
    op.create_table(
        "schemaversion",
        sa.Column("onlyrow", sa.Boolean, server_default=sa.true()),
        sa.Column("compatiblefrom", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("onlyrow", name=op.f("pk_schemaversion")),
        sa.CheckConstraint("onlyrow", name=op.f("ck_schemaversion_onlyrow")),
    )
    op.execute("INSERT INTO schemaversion (compatiblefrom) VALUES (5)")


def downgrade() -> None:
    op.drop_table("schemaversion")
    op.drop_index("ix_jobchange_repaired", "jobchange")
    op.execute("DELETE FROM jobchange WHERE action = 'repaired'")
    _allow(*ACTIONS)


def _allow(*actions: str) -> None:
    listed = ", ".join(f"'{action}'" for action in actions)
    op.drop_constraint("ck_jobchange_action", "jobchange")
    op.create_check_constraint("action", "jobchange", f"action IN ({listed})")
