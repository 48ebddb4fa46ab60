"""How much a project may use, and limits on the runs of projects."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

QUOTAS = ("maxjobs", "maxbody", "maxrequests", "maxstreams")
ACTIONS = (
    "'created', 'edited', 'paused', 'resumed', 'deleted', 'skipped', 'repaired', 'started', 'backfilled', "
    "'retried', 'cancelled', 'secretadded', 'secretremoved', 'limitset', 'limitremoved', 'restoreconfirmed', "
    "'calendarset', 'calendarremoved', 'signedin', 'signinrefused', 'signedout', 'useradded', 'userchanged', "
    "'userremoved', 'passwordset', 'linkmade', 'keyadded', 'keyrevoked', 'projectadded', 'projectremoved', "
    "'secretset'"
)


def upgrade() -> None:
    for name in QUOTAS:
        op.execute(f"ALTER TABLE project ADD COLUMN {name} integer")
    check = f"CHECK (least({', '.join(QUOTAS)}) >= 1)"
    op.execute(f"ALTER TABLE project ADD CONSTRAINT ck_project_quotas {check} NOT VALID")
    _allow("concurrencylimit", "scope", "'tag', 'host', 'project'")
    _allow("auditevent", "action", f"{ACTIONS}, 'projectchanged'")


def downgrade() -> None:
    op.execute("DELETE FROM auditevent WHERE action = 'projectchanged'")
    op.execute("DELETE FROM concurrencylimit WHERE scope = 'project'")
    _allow("auditevent", "action", ACTIONS)
    _allow("concurrencylimit", "scope", "'tag', 'host'")
    op.execute("ALTER TABLE project DROP CONSTRAINT ck_project_quotas")
    for name in QUOTAS:
        op.drop_column("project", name)


def _allow(table: str, column: str, values: str) -> None:
    """Let a column hold more; what is there holds all the same."""
    # What older code writes is allowed as before.
    name = f"ck_{table}_{column}"
    ignored = "-- squawk-ignore ban-drop-constraint"
    op.execute(f"{ignored}\nALTER TABLE {table} DROP CONSTRAINT {name}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IN ({values})) NOT VALID")
