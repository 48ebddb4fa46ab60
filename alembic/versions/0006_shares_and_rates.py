"""Places are shared among hosts, and limits may be calls a minute."""

import sqlalchemy as sa
from alembic import op

from scheduler_api.database.upgrading import outdate

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Older code knows no rates, and reads limits by another name.
    outdate(6)
    # Claims go from host to host where many calls are due.
    op.create_index(
        "ix_joblog_hosts",
        "joblog",
        ["host", "nextrun", "logid"],
        postgresql_where=sa.text("status = 'pending' AND host IS NOT NULL"),
    )
    op.drop_constraint(op.f("ck_concurrencylimit_most"), "concurrencylimit", type_="check")
    op.alter_column("concurrencylimit", "most", new_column_name="limit", nullable=True)
    op.add_column("concurrencylimit", sa.Column("rate", sa.Integer()))
    op.add_column("concurrencylimit", sa.Column("busyuntil", sa.DateTime(timezone=True)))
    op.create_check_constraint(op.f("ck_concurrencylimit_limit"), "concurrencylimit", '"limit" >= 1')
    op.create_check_constraint(op.f("ck_concurrencylimit_rate"), "concurrencylimit", "rate >= 1")
    op.create_check_constraint(
        op.f("ck_concurrencylimit_limited"), "concurrencylimit", 'num_nonnulls("limit", rate) > 0'
    )
    op.create_check_constraint(
        op.f("ck_concurrencylimit_busyuntil"), "concurrencylimit", "busyuntil IS NULL OR rate IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("UPDATE schemaversion SET compatiblefrom = 5")
    # The version before knows no rates.
    op.execute('DELETE FROM concurrencylimit WHERE "limit" IS NULL')
    for name in ("busyuntil", "limited", "rate", "limit"):
        op.drop_constraint(op.f(f"ck_concurrencylimit_{name}"), "concurrencylimit", type_="check")
    op.drop_column("concurrencylimit", "busyuntil")
    op.drop_column("concurrencylimit", "rate")
    op.alter_column("concurrencylimit", "limit", new_column_name="most", nullable=False)
    op.create_check_constraint(op.f("ck_concurrencylimit_most"), "concurrencylimit", "most >= 1")
    op.drop_index("ix_joblog_hosts", "joblog")
