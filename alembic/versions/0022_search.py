"""A search finds jobs by any part of their name, host or tags."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        DO $$ BEGIN
            CREATE EXTENSION IF NOT EXISTS pg_trgm;
        EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
            RAISE NOTICE 'A search for jobs is slower without the extension pg_trgm: %', SQLERRM;
        END $$
        """
    )
    op.execute(
        r"""
        CREATE OR REPLACE FUNCTION jobwords(jobname text, host text, tags text[]) RETURNS text
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        AS $$ SELECT concat_ws(E'\n', jobname, host, array_to_string(tags, E'\n')) $$
        """
    )


def downgrade() -> None:
    # Others may use the extension by now.
    op.execute("DROP FUNCTION jobwords")
