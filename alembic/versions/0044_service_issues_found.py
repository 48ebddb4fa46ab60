"""Who was told of an issue of the service is found by an index; rules about all jobs tell of those."""

from alembic import op

from scheduler_api.database.upgrading import build_index

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index(
        "ix_alert_serviceissueid",
        "ON alert (serviceissueid, channelid, event, number) WHERE serviceissueid IS NOT NULL",
        is_unique=True,
    )
    with op.get_context().autocommit_block():
        # Rules are few.
        op.execute(
            "UPDATE alertrule SET service = true WHERE num_nonnulls(project, tag, jobid) = 0 AND NOT service"
        )
    op.execute("ALTER TABLE alertrule VALIDATE CONSTRAINT ck_alertrule_kinds")


def downgrade() -> None:
    op.execute("DROP INDEX ix_alert_serviceissueid")
