"""Secrets of projects, which the targets of their jobs name."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
BEFORE = (
    "'created', 'edited', 'paused', 'resumed', 'deleted', 'skipped', 'repaired', 'started', 'backfilled', "
    "'retried', 'cancelled', 'secretadded', 'secretremoved', 'limitset', 'limitremoved', 'restoreconfirmed', "
    "'calendarset', 'calendarremoved', 'signedin', 'signinrefused', 'signedout', 'useradded', 'userchanged', "
    "'userremoved', 'passwordset', 'linkmade', 'keyadded', 'keyrevoked', 'projectadded', 'projectremoved'"
)


def upgrade() -> None:
    op.create_table(
        "projectsecret",
        sa.Column("secretid", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("project", sa.Text(), sa.ForeignKey("project.name", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("generated", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("createdat", INSTANT, nullable=False),
        sa.Column("changedat", INSTANT, nullable=False),
        sa.UniqueConstraint("project", "name"),
    )
    op.execute("ALTER TABLE job ADD COLUMN secretnames text[] NOT NULL DEFAULT '{}'")
    _allow(f"{BEFORE}, 'secretset'")


def downgrade() -> None:
    op.execute("DELETE FROM auditevent WHERE action = 'secretset'")
    _allow(BEFORE)
    op.drop_column("job", "secretnames")
    op.drop_table("projectsecret")


def _allow(actions: str) -> None:
    """Let more be said of what was done; what is there holds all the same."""
    # What older code writes is allowed as before.
    ignored = "-- squawk-ignore ban-drop-constraint"
    op.execute(f"{ignored}\nALTER TABLE auditevent DROP CONSTRAINT ck_auditevent_action")
    check = f"CONSTRAINT ck_auditevent_action CHECK (action IN ({actions}))"
    op.execute(f"ALTER TABLE auditevent ADD {check} NOT VALID")
