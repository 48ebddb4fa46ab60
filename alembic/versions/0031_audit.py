"""What was done stays, whatever becomes of jobs; with the address that it came from, and the project."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

#: What was called after the table that changes of jobs were in, and what it is called since.
INDEXES = ("ix_{}_repaired", "ix_{}_jobid_changeid", "pk_{}")


def upgrade() -> None:
    _rename("jobchange", "auditevent")
    # Older code deletes what was done to a job with it, and finds nothing to delete.
    ignored = "-- squawk-ignore ban-drop-constraint"
    op.execute(f"{ignored}\nALTER TABLE auditevent DROP CONSTRAINT fk_jobchange_jobid")
    op.execute("ALTER TABLE auditevent ADD COLUMN address text")
    op.execute("ALTER TABLE auditevent ADD COLUMN project text")
    # For code that knows it by this name; it reads and writes through it as before.
    op.execute(
        "CREATE VIEW jobchange AS"
        " SELECT changeid, jobid, at, action, actor, client, before, after FROM auditevent"
    )


def downgrade() -> None:
    op.execute("DROP VIEW jobchange")
    op.drop_column("auditevent", "project")
    op.drop_column("auditevent", "address")
    op.execute("DELETE FROM auditevent WHERE jobid NOT IN (SELECT jobid FROM job)")
    op.execute(
        "ALTER TABLE auditevent ADD CONSTRAINT fk_jobchange_jobid"
        " FOREIGN KEY (jobid) REFERENCES job (jobid) ON DELETE CASCADE"
    )
    _rename("auditevent", "jobchange")


def _rename(before: str, after: str) -> None:
    for what, name in (
        ("TABLE {}", "TO {}"),
        ("SEQUENCE {}_changeid_seq", "TO {}_changeid_seq"),
        *((f"INDEX {index}", f"TO {index}") for index in INDEXES),
    ):
        # The view stands for it at once.
        ignored = "-- squawk-ignore renaming-table, renaming-object"
        op.execute(f"{ignored}\nALTER {what.format(before)} RENAME {name.format(after)}")
    for name in ("action", "actor"):
        ignored = "-- squawk-ignore renaming-object"
        op.execute(
            f"{ignored}\nALTER TABLE {after} RENAME CONSTRAINT ck_{before}_{name} TO ck_{after}_{name}"
        )
