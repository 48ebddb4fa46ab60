"""Who did it: every change names its actor, and more of them are written down."""

import sqlalchemy as sa
from alembic import op

from scheduler_api.database.upgrading import outdate

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BEFORE = ("created", "edited", "paused", "resumed", "deleted", "skipped", "repaired")
SINCE = (
    "started", "backfilled", "retried", "cancelled", "secretadded", "secretremoved", "limitset",
    "limitremoved", "restoreconfirmed",
)  # fmt: skip


def upgrade() -> None:
    # Older code would write changes without an actor.
    outdate(11)
    op.add_column("jobchange", sa.Column("actor", sa.Text))
    op.execute("UPDATE jobchange SET actor = CASE WHEN client IS NULL THEN 'schedule' ELSE 'local' END")
    op.alter_column("jobchange", "actor", nullable=False)
    op.create_check_constraint(op.f("ck_jobchange_actor"), "jobchange", "actor IN ('local', 'schedule')")
    op.alter_column("jobchange", "jobid", nullable=True)
    _allow(*BEFORE, *SINCE)


def downgrade() -> None:
    op.execute(f"DELETE FROM jobchange WHERE action IN ({_listed(SINCE)})")
    _allow(*BEFORE)
    op.alter_column("jobchange", "jobid", nullable=False)
    op.drop_column("jobchange", "actor")
    op.execute("UPDATE schemaversion SET compatiblefrom = 10")


def _allow(*actions: str) -> None:
    op.drop_constraint(op.f("ck_jobchange_action"), "jobchange")
    op.create_check_constraint(op.f("ck_jobchange_action"), "jobchange", f"action IN ({_listed(actions)})")


def _listed(actions: tuple[str, ...]) -> str:
    return ", ".join(f"'{action}'" for action in actions)
