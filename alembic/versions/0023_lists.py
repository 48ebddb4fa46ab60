"""Lists of a million jobs and of their runs are found by indexes, in any order."""

from alembic import op
from sqlalchemy import text

from scheduler_api.database.upgrading import build_index, build_index_of_parts

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

OF_JOBS = {
    "ix_job_jobname": "(jobname, jobid) WHERE deletedat IS NULL",
    "ix_job_paused": "(jobid) WHERE pausedat IS NOT NULL",
    "ix_job_deleted": "(jobid) WHERE deletedat IS NOT NULL",
}
ASKED = "(logid) WHERE cause <> 'schedule'"
OF_LIVE_LOGS = {
    "ix_joblog_live_finished": "(logid) WHERE status = 'finished'",
    "ix_joblog_live_waiting": "(jobid) WHERE status = 'pending' AND following IS NOT NULL",
}
WORDS = "USING gin (jobwords(jobname, host, tags) gin_trgm_ops)"


def upgrade() -> None:
    for name, definition in OF_JOBS.items():
        build_index(name, f"ON job {definition}")
    build_index_of_parts("ix_joblog_asked", "joblog", ASKED)
    for name, definition in OF_LIVE_LOGS.items():
        build_index(name, f"ON joblog_live {definition}")
    if _has_trigrams():
        build_index("ix_job_words", f"ON job {WORDS}")
    # What a run changes of a job then stays on its page, and enters no index.
    op.execute("ALTER TABLE job SET (fillfactor = 80)")


def downgrade() -> None:
    op.execute("ALTER TABLE job RESET (fillfactor)")
    op.execute("DROP INDEX IF EXISTS ix_job_words")
    for name in (*OF_LIVE_LOGS, "ix_joblog_asked", *OF_JOBS):
        op.execute(f"DROP INDEX {name}")


def _has_trigrams() -> bool:
    if op.get_context().as_sql:
        return True
    # It may have been created where this role does not look.
    found = text(
        "SELECT EXISTS (SELECT FROM pg_opclass WHERE opcname = 'gin_trgm_ops' AND pg_opclass_is_visible(oid))"
    )
    return bool(op.get_bind().execute(found).scalar_one())
