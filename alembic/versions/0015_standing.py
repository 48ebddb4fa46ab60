"""How a job's runs have gone stands at the row that it goes on with, or at the job."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ENUM

from scheduler_api.database.upgrading import outdate

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

FAILED = sa.text("laststatus = 'failed'")
#: By all that the logs say; in what order runs ended is known by when.
FILL_JOBS = """
    WITH began AS (
        SELECT jobid, max(startedat) AS lastrun, max(runs) FILTER (WHERE cause = 'schedule') AS runs,
               max(finishedat) FILTER (WHERE status = 'finished') AS lastsuccess
        FROM joblog GROUP BY jobid
    ), failing AS (
        SELECT jobid, count(*) AS failures, min(finishedat) AS since
        FROM joblog JOIN began USING (jobid)
        WHERE status = 'failed' AND finishedat > coalesce(began.lastsuccess, '-infinity') GROUP BY jobid
    )
    UPDATE job SET lastrun = began.lastrun, runs = coalesce(began.runs, 0), lastsuccess = began.lastsuccess,
        laststatus = CASE WHEN since IS NOT NULL THEN CAST('failed' AS logstatus)
                          WHEN began.lastsuccess IS NOT NULL THEN 'finished' END,
        failures = coalesce(failing.failures, 0), failingsince = since
    FROM began LEFT JOIN failing USING (jobid) WHERE job.jobid = began.jobid
"""
FILL_LIVE = """
    UPDATE joblog SET lastrun = job.lastrun, laststatus = job.laststatus, failures = job.failures,
                      failingsince = job.failingsince, lastsuccess = job.lastsuccess
    FROM job
    WHERE joblog.jobid = job.jobid AND day = 'infinity'
      AND cause = 'schedule' AND (status = 'pending' AND attempt = 1 OR following IS NOT NULL)
"""


def upgrade() -> None:
    # Older code would leave it as it is.
    outdate(15)
    instant, status = (
        sa.DateTime(timezone=True),
        ENUM(name="logstatus", create_type=False),
    )
    for column in (
        sa.Column("lastrun", instant),
        sa.Column("runs", sa.Integer, nullable=False, server_default="0"),
        sa.Column("laststatus", status),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failingsince", instant),
        sa.Column("lastsuccess", instant),
    ):
        op.add_column("job", column)
    for column in (
        sa.Column("failingsince", instant),
        sa.Column("lastsuccess", instant),
        sa.Column("laststatus", status),
        sa.Column("failures", sa.Integer),
    ):
        op.add_column("joblog", column)
    op.execute(FILL_JOBS)
    op.execute(FILL_LIVE)
    op.create_index("ix_job_failing", "job", ["jobid"], postgresql_where=FAILED)
    op.create_index("ix_joblog_live_failing", "joblog_live", ["jobid"], postgresql_where=FAILED)
    for name in ("ix_joblog_beside", "ix_joblog_failing"):
        op.drop_index(name, "joblog")


def downgrade() -> None:
    op.execute(
        "CREATE INDEX ix_joblog_beside ON joblog (jobid, startedat)"
        " WHERE cause <> 'schedule' AND startedat IS NOT NULL"
    )
    op.execute("CREATE INDEX ix_joblog_failing ON joblog (jobid) WHERE status = 'failed'")
    op.drop_index("ix_joblog_live_failing", "joblog_live")
    op.drop_index("ix_job_failing", "job")
    for name in ("failingsince", "lastsuccess", "laststatus", "failures"):
        op.drop_column("joblog", name)
    for name in ("lastrun", "runs", "laststatus", "failures", "failingsince", "lastsuccess"):
        op.drop_column("job", name)
    op.execute("UPDATE schemaversion SET compatiblefrom = 14")
