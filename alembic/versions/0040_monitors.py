"""Jobs that expect a report instead of making a request, and how each is watched."""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

COLUMNS = {
    "monitor": "jsonb",
    "monitortoken": "uuid",
    "lateafter": "integer",
    "stuckafter": "integer",
    "silentafter": "integer",
    "recoverafter": "integer NOT NULL DEFAULT 1",
}
REASONS = (
    "'misfire', 'paused', 'excluded', 'overlap', 'dst-gap', 'until', 'superseded', 'deleted', 'request', "
    "'cancelled'"
)
ENDINGS = "'recovered', 'edited', 'paused', 'resumed', 'deleted'"
ACTIONS = (
    "'created', 'edited', 'paused', 'resumed', 'deleted', 'skipped', 'repaired', 'started', 'backfilled', "
    "'retried', 'cancelled', 'secretadded', 'secretremoved', 'limitset', 'limitremoved', 'restoreconfirmed', "
    "'calendarset', 'calendarremoved', 'signedin', 'signinrefused', 'signedout', 'useradded', 'userchanged', "
    "'userremoved', 'passwordset', 'linkmade', 'keyadded', 'keyrevoked', 'projectadded', 'projectremoved', "
    "'secretset', 'projectchanged', 'channeladded', 'channelchanged', 'channelremoved', 'ruleadded', "
    "'ruleremoved', 'acknowledged', 'redriven', 'muteadded', 'muteremoved'"
)


def upgrade() -> None:
    # A value is there for statements of later transactions only.
    op.execute("ALTER TYPE runkind ADD VALUE IF NOT EXISTS 'monitor' AFTER 'http'")
    for name, kind in COLUMNS.items():
        op.execute(f"ALTER TABLE job ADD COLUMN {name} {kind}")
    op.execute(
        "ALTER TABLE job ADD CONSTRAINT ck_job_watched"
        " CHECK (least(lateafter, stuckafter, silentafter, recoverafter) >= 1) NOT VALID"
    )
    op.execute("ALTER TABLE jobissue ADD COLUMN successes integer NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE alertrule ADD COLUMN outof integer")
    op.execute("ALTER TABLE alertrule ADD CONSTRAINT ck_alertrule_outof CHECK (outof >= after) NOT VALID")
    _allow("joblog", "known_reason", "reason", f"{REASONS}, 'unreported'")
    _allow("jobissue", "ending", "ending", f"{ENDINGS}, 'closed'")
    _allow("auditevent", "action", "action", f"{ACTIONS}, 'addresschanged', 'issueclosed'")


def downgrade() -> None:
    op.execute("DELETE FROM auditevent WHERE action IN ('addresschanged', 'issueclosed')")
    op.execute("UPDATE jobissue SET ending = 'recovered' WHERE ending = 'closed'")
    _allow("jobissue", "ending", "ending", ENDINGS)
    op.execute("UPDATE joblog SET reason = 'misfire' WHERE reason = 'unreported'")
    _allow("joblog", "known_reason", "reason", REASONS)
    _allow("auditevent", "action", "action", ACTIONS)
    op.execute("ALTER TABLE alertrule DROP COLUMN outof")
    op.execute("ALTER TABLE jobissue DROP COLUMN successes")
    op.execute("ALTER TABLE job DROP CONSTRAINT ck_job_watched")
    for name in COLUMNS:
        op.execute(f"ALTER TABLE job DROP COLUMN {name}")


def _allow(table: str, constraint: str, column: str, values: str) -> None:
    """Let a column hold these values; what is there holds all the same."""
    name = f"ck_{table}_{constraint}"
    ignored = "-- squawk-ignore ban-drop-constraint"
    op.execute(f"{ignored}\nALTER TABLE {table} DROP CONSTRAINT {name}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IN ({values})) NOT VALID")
