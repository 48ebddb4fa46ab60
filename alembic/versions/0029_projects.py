"""Projects, to which jobs, keys and roles belong."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

BEFORE = (
    "'created', 'edited', 'paused', 'resumed', 'deleted', 'skipped', 'repaired', 'started', 'backfilled', "
    "'retried', 'cancelled', 'secretadded', 'secretremoved', 'limitset', 'limitremoved', 'restoreconfirmed', "
    "'calendarset', 'calendarremoved', 'signedin', 'signinrefused', 'signedout', 'useradded', 'userchanged', "
    "'userremoved', 'passwordset', 'linkmade', 'keyadded', 'keyrevoked'"
)
ADDED = "'projectadded', 'projectremoved'"


def upgrade() -> None:
    op.create_table(
        "project",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("description", sa.Text(), nullable=False, server_default=""),
        sa.Column("createdat", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute("INSERT INTO project (name, createdat) VALUES ('default', now())")
    op.create_table(
        "projectrole",
        _user(),
        sa.Column("project", sa.Text(), sa.ForeignKey("project.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.CheckConstraint("role IN ('viewer', 'operator', 'editor')", name="role"),
    )
    op.create_index("ix_projectrole_project", "projectrole", ["project"])
    op.execute("ALTER TABLE job ADD COLUMN project text NOT NULL DEFAULT 'default'")
    op.execute("ALTER TABLE apikey ADD COLUMN project text")
    # Older code has nobody without a role.
    ignored = "-- squawk-ignore ban-drop-not-null"
    op.execute(f"{ignored}\nALTER TABLE useraccount ALTER COLUMN role DROP NOT NULL")
    for table, also in (("job", ""), ("apikey", " ON DELETE CASCADE")):
        _refer(table, also)
    _allow(f"{BEFORE}, {ADDED}")


def downgrade() -> None:
    op.execute(f"DELETE FROM jobchange WHERE action IN ({ADDED})")
    _allow(BEFORE)
    # Who may do something in some projects only may do nothing without them.
    op.execute("DELETE FROM apikey WHERE project IS NOT NULL")
    op.execute("DELETE FROM useraccount WHERE role IS NULL")
    op.execute("ALTER TABLE useraccount ALTER COLUMN role SET NOT NULL")
    for table in ("job", "apikey"):
        op.drop_column(table, "project")
    op.drop_table("projectrole")
    op.drop_table("project")


def _user() -> sa.Column[int]:
    return sa.Column(
        "userid", sa.BigInteger(), sa.ForeignKey("useraccount.userid", ondelete="CASCADE"), primary_key=True
    )


def _refer(table: str, also: str) -> None:
    """Let rows of a table belong to projects that are there; those that are there do."""
    key = f"CONSTRAINT fk_{table}_project FOREIGN KEY (project) REFERENCES project (name){also}"
    op.execute(f"ALTER TABLE {table} ADD {key} NOT VALID")


def _allow(actions: str) -> None:
    """Let more be said in changes; what is there holds all the same."""
    ignored = "-- squawk-ignore ban-drop-constraint"
    op.execute(f"{ignored}\nALTER TABLE jobchange DROP CONSTRAINT ck_jobchange_action")
    check = f"CONSTRAINT ck_jobchange_action CHECK (action IN ({actions}))"
    op.execute(f"ALTER TABLE jobchange ADD {check} NOT VALID")
