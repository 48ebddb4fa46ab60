"""Deleted jobs can be brought back, and it is written down who did."""

from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

BEFORE = (
    "'created', 'edited', 'paused', 'resumed', 'deleted', 'skipped', 'repaired', 'started', 'backfilled', "
    "'retried', 'cancelled', 'secretadded', 'secretremoved', 'limitset', 'limitremoved', 'restoreconfirmed', "
    "'calendarset', 'calendarremoved', 'signedin', 'signinrefused', 'signedout', 'useradded', 'userchanged', "
    "'userremoved', 'passwordset', 'linkmade', 'keyadded', 'keyrevoked', 'projectadded', 'projectremoved', "
    "'secretset', 'projectchanged', 'channeladded', 'channelchanged', 'channelremoved', 'ruleadded', "
    "'ruleremoved', 'acknowledged', 'redriven', 'muteadded', 'muteremoved', 'addresschanged', 'issueclosed'"
)


def upgrade() -> None:
    _allow(f"{BEFORE}, 'restored'")


def downgrade() -> None:
    op.execute("DELETE FROM auditevent WHERE action = 'restored'")
    _allow(BEFORE)


def _allow(actions: str) -> None:
    # What older code writes is allowed as before.
    ignored = "-- squawk-ignore ban-drop-constraint"
    op.execute(f"{ignored}\nALTER TABLE auditevent DROP CONSTRAINT ck_auditevent_action")
    check = f"CONSTRAINT ck_auditevent_action CHECK (action IN ({actions}))"
    op.execute(f"ALTER TABLE auditevent ADD {check} NOT VALID")
