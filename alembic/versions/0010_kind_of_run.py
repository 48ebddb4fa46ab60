"""What a run does is a column of its own: bookkeeping, or an HTTP request."""

import sqlalchemy as sa
from alembic import op

from scheduler_api.database.upgrading import outdate

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

#: Indexes of pending logs: their columns, and the kind that they hold.
INDEXES = {
    "ix_joblog_due": (["nextrun", "logid"], "plain"),
    "ix_joblog_calls": (["nextrun", "logid"], "http"),
    "ix_joblog_hosts": (["host", "nextrun", "logid"], "http"),
}


def upgrade() -> None:
    # Older code would add calls that nobody recognises as such.
    outdate(10)
    for table in ("job", "joblog"):
        op.add_column(table, sa.Column("kind", sa.Text, nullable=False, server_default="plain"))
        op.execute(f"UPDATE {table} SET kind = 'http' WHERE host IS NOT NULL")
        known = "kind IN ('plain', 'http') AND (kind = 'http') = (host IS NOT NULL)"
        op.create_check_constraint(op.f(f"ck_{table}_runkind"), table, known)
    _renew_indexes({name: f"kind = '{kind}'" for name, (_, kind) in INDEXES.items()})


def downgrade() -> None:
    hosts = {"plain": "host IS NULL", "http": "host IS NOT NULL"}
    _renew_indexes({name: hosts[kind] for name, (_, kind) in INDEXES.items()})
    for table in ("joblog", "job"):
        op.drop_column(table, "kind")
    op.execute("UPDATE schemaversion SET compatiblefrom = 9")


def _renew_indexes(conditions: dict[str, str]) -> None:
    for name, (columns, _) in INDEXES.items():
        op.drop_index(name, "joblog")
        where = sa.text(f"status = 'pending' AND {conditions[name]}")
        op.create_index(name, "joblog", columns, postgresql_where=where)
