"""Calendars: named lists of days on which jobs do not run."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from scheduler_api.database.upgrading import outdate

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BEFORE = (
    "created", "edited", "paused", "resumed", "deleted", "skipped", "repaired", "started", "backfilled",
    "retried", "cancelled", "secretadded", "secretremoved", "limitset", "limitremoved", "restoreconfirmed",
)  # fmt: skip
SINCE = ("calendarset", "calendarremoved")


def upgrade() -> None:
    # Older code would run jobs on the days of their calendars.
    outdate(13)
    op.execute("CREATE SEQUENCE calendarversion")
    op.create_table(
        "calendar",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        sa.Column("days", ARRAY(sa.Text), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changedat", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_calendar")),
    )
    for name in ("calendars", "calendardays"):
        op.add_column("job", sa.Column(name, ARRAY(sa.Text), nullable=False, server_default="{}"))
    op.add_column("job", sa.Column("calendarversion", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index(
        "ix_job_calendars", "job", ["jobid"], postgresql_where=sa.text("cardinality(calendars) > 0")
    )
    _allow(*BEFORE, *SINCE)


def downgrade() -> None:
    op.execute(f"DELETE FROM jobchange WHERE action IN ({_listed(SINCE)})")
    _allow(*BEFORE)
    op.drop_index("ix_job_calendars", "job")
    for name in ("calendars", "calendardays", "calendarversion"):
        op.drop_column("job", name)
    op.drop_table("calendar")
    op.execute("DROP SEQUENCE calendarversion")
    op.execute("UPDATE schemaversion SET compatiblefrom = 11")


def _allow(*actions: str) -> None:
    op.drop_constraint(op.f("ck_jobchange_action"), "jobchange")
    op.create_check_constraint(op.f("ck_jobchange_action"), "jobchange", f"action IN ({_listed(actions)})")


def _listed(actions: tuple[str, ...]) -> str:
    return ", ".join(f"'{action}'" for action in actions)
