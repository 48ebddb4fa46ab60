"""Targets call it a heartbeat timeout; reasons and failures are known ones."""

from alembic import op

from scheduler_api.database.upgrading import outdate

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OLD, NEW = "silence", "heartbeattimeout"
KNOWN = (
    (
        "joblog",
        "ck_joblog_known_reason",
        "reason IN ('misfire', 'paused', 'excluded', 'overlap', 'dst-gap', 'until', 'superseded', 'deleted',"
        " 'request', 'cancelled')",
    ),
    (
        "logattempt",
        "ck_logattempt_failure",
        "failure IN ('connect', 'dns', 'timeout', 'tls', 'protocol', 'blocked', 'redirect', 'status',"
        " 'pattern', 'gone', 'lost', 'silent', 'cancelled', 'reported', 'busy', 'template')",
    ),
)


def upgrade() -> None:
    # Older code would read a target without the field that it knows, and write it under its old name.
    outdate(9)
    _rename(OLD, NEW)
    for table, name, condition in KNOWN:
        op.create_check_constraint(op.f(name), table, condition)


def downgrade() -> None:
    for table, name, _ in reversed(KNOWN):
        op.drop_constraint(op.f(name), table)
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
    # The answer to a request that may be repeated.
    op.execute(
        f"UPDATE idempotencykey SET answer = CAST(jsonb_set(CAST(answer AS jsonb) #- '{{target,{old}}}', "
        f"'{{target,{new}}}', CAST(answer AS jsonb) #> '{{target,{old}}}') AS text) "
        f"WHERE CAST(answer AS jsonb) #> '{{target,{old}}}' IS NOT NULL"
    )
