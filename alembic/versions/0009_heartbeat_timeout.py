"""Targets call it a heartbeat timeout."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OLD, NEW = "silence", "heartbeattimeout"


def upgrade() -> None:
    # Older code would read a target without the field that it knows, and write it under its old name.
    op.execute("UPDATE schemaversion SET compatiblefrom = 9")
    _rename(OLD, NEW)


def downgrade() -> None:
    op.execute("UPDATE schemaversion SET compatiblefrom = 7")
    _rename(NEW, OLD)


def _rename(old: str, new: str) -> None:
    op.execute(
        f"UPDATE job SET target = target - '{old}' || jsonb_build_object('{new}', target -> '{old}') "
        f"WHERE target -> '{old}' IS NOT NULL"
    )
    # What an edit has changed of a target is kept as it was.
    for side in ("before", "after"):
        op.execute(
            f"UPDATE jobchange SET {side} = jsonb_set({side} #- '{{target,{old}}}', '{{target,{new}}}', "
            f"{side} #> '{{target,{old}}}') WHERE {side} #> '{{target,{old}}}' IS NOT NULL"
        )
