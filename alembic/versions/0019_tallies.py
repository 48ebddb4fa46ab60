"""History has a horizon: days that are over become a tally for each job, and old ones may go."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from scheduler_api.database.upgrading import outdate

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

#: A row is kept under the day of the last occurrence that it tells of; until now, of the first.
MOVE = """
    WITH reaching AS (
        SELECT logid, day,
               least(CAST(through AT TIME ZONE 'UTC' AS date), (SELECT lastday FROM history)) AS kept
        FROM joblog WHERE day < 'infinity' AND CAST(through AT TIME ZONE 'UTC' AS date) > day
    ), attempts AS (
        UPDATE logattempt SET day = kept FROM reaching
        WHERE logattempt.logid = reaching.logid AND logattempt.day = reaching.day
    ), lines AS (
        UPDATE logline SET day = kept FROM reaching
        WHERE logline.logid = reaching.logid AND logline.day = reaching.day
    )
    UPDATE joblog SET day = kept FROM reaching
    WHERE joblog.logid = reaching.logid AND joblog.day = reaching.day
"""
#: Columns of the one row of `history`.
DAYS = ("openday", "closing", "closedto", "horizon")


def upgrade() -> None:
    # Older code would add rows to days that are closed.
    outdate(19)
    op.execute(MOVE)
    for name in DAYS:
        op.add_column("history", sa.Column(name, sa.Date(), nullable=False, server_default="-infinity"))
    op.add_column("history", sa.Column("closingjob", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column(
        "history",
        sa.Column("leaving", postgresql.ARRAY(sa.Date()), nullable=False, server_default="{}"),
    )
    op.create_table(
        "jobtally",
        sa.Column("jobid", sa.BigInteger(), sa.ForeignKey("job.jobid", ondelete="CASCADE"), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("finished", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("skipped", postgresql.JSONB(), nullable=False),
        sa.Column("missed", sa.BigInteger(), nullable=False),
        sa.Column("p50", sa.Double()),
        sa.Column("p95", sa.Double()),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("accounted", sa.BigInteger(), nullable=False),
        sa.Column("runs", sa.Integer()),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.Column("findings", postgresql.JSONB()),
        sa.PrimaryKeyConstraint("jobid", "day"),
    )
    op.create_table(
        "jobopen",
        sa.Column("jobid", sa.BigInteger(), sa.ForeignKey("job.jobid", ondelete="CASCADE"), primary_key=True),
        sa.Column("since", sa.Date(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("jobopen")
    op.drop_table("jobtally")
    for name in (*DAYS, "closingjob", "leaving"):
        op.drop_column("history", name)
    op.execute("UPDATE schemaversion SET compatiblefrom = 17")
