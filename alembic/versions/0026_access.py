"""Users who sign in, their sessions, and API keys; changes name them."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
ROLE = "role IN ('viewer', 'operator', 'editor', 'admin')"
BEFORE = (
    "'created', 'edited', 'paused', 'resumed', 'deleted', 'skipped', 'repaired', 'started', 'backfilled', "
    "'retried', 'cancelled', 'secretadded', 'secretremoved', 'limitset', 'limitremoved', 'restoreconfirmed', "
    "'calendarset', 'calendarremoved'"
)
ADDED = (
    "'signedin', 'signinrefused', 'signedout', 'useradded', 'userchanged', 'userremoved', 'passwordset', "
    "'linkmade', 'keyadded', 'keyrevoked'"
)


def upgrade() -> None:
    op.create_table(
        "useraccount",
        sa.Column("userid", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("passwordhash", sa.Text()),
        sa.Column("createdat", INSTANT, nullable=False),
        sa.Column("lastseen", INSTANT),
        sa.CheckConstraint(ROLE, name="role"),
    )
    op.create_table(
        "usersession",
        sa.Column("sessionid", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        _user(),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("createdat", INSTANT, nullable=False),
        sa.Column("seenat", INSTANT, nullable=False),
        sa.Column("client", sa.Text()),
    )
    op.create_index("ix_usersession_userid", "usersession", ["userid"])
    op.create_table(
        "signinlink",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        _user(),
        sa.Column("createdat", INSTANT, nullable=False),
        sa.Column("expiresat", INSTANT, nullable=False),
    )
    op.create_index("ix_signinlink_userid", "signinlink", ["userid"])
    op.create_table(
        "signintry",
        sa.Column("tryid", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
    )
    for columns in (["name", "at"], ["address", "at"], ["at"]):
        op.create_index(f"ix_signintry_{columns[0]}", "signintry", columns)
    op.create_table(
        "apikey",
        sa.Column("keyid", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("createdat", INSTANT, nullable=False),
        sa.Column("createdby", sa.Text()),
        sa.Column("expiresat", INSTANT),
        sa.Column("lastused", INSTANT),
        sa.Column("revokedat", INSTANT),
        sa.CheckConstraint(ROLE, name="role"),
    )
    _allow(f"{BEFORE}, {ADDED}", "'local', 'user', 'key', 'schedule'")


def downgrade() -> None:
    op.execute(f"DELETE FROM jobchange WHERE action IN ({ADDED})")
    op.execute("UPDATE jobchange SET actor = 'local' WHERE actor IN ('user', 'key')")
    _allow(BEFORE, "'local', 'schedule'")
    for table in ("apikey", "signintry", "signinlink", "usersession", "useraccount"):
        op.drop_table(table)


def _user() -> sa.Column[int]:
    return sa.Column(
        "userid", sa.BigInteger(), sa.ForeignKey("useraccount.userid", ondelete="CASCADE"), nullable=False
    )


def _allow(actions: str, actors: str) -> None:
    """Let more be said in changes; what is there holds all the same."""
    for name, allowed in (("action", actions), ("actor", actors)):
        # What older code writes is allowed as before.
        ignored = "-- squawk-ignore ban-drop-constraint"
        op.execute(f"{ignored}\nALTER TABLE jobchange DROP CONSTRAINT ck_jobchange_{name}")
        check = f"CONSTRAINT ck_jobchange_{name} CHECK ({name} IN ({allowed}))"
        op.execute(f"ALTER TABLE jobchange ADD {check} NOT VALID")
