"""Monitors, reasons and actions are checked, beside all that goes on."""

from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, constraint in (
        ("job", "ck_job_monitor"),
        ("job", "ck_job_watched"),
        ("alertrule", "ck_alertrule_outof"),
        ("joblog", "ck_joblog_known_reason"),
        ("jobissue", "ck_jobissue_ending"),
        ("auditevent", "ck_auditevent_action"),
    ):
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")


def downgrade() -> None:
    """A check that was made stays true."""
