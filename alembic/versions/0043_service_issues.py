"""Issues of the service itself, the rules that tell of them, and mutes that are lifted step by step."""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE serviceissue (
            serviceissueid bigint GENERATED ALWAYS AS IDENTITY,
            kind text NOT NULL,
            subject text NOT NULL,
            since timestamptz NOT NULL,
            seenat timestamptz NOT NULL,
            what text NOT NULL,
            why text,
            action text NOT NULL,
            remindat timestamptz NOT NULL,
            reminders integer NOT NULL DEFAULT 0,
            CONSTRAINT pk_serviceissue PRIMARY KEY (serviceissueid),
            CONSTRAINT uq_serviceissue_kind_subject UNIQUE (kind, subject),
            CONSTRAINT ck_serviceissue_kind CHECK (kind IN (
                'database', 'replica', 'crowded', 'disk', 'export', 'transaction', 'channel', 'restored'
            ))
        )
        """
    )
    op.execute("ALTER TABLE alert ADD COLUMN serviceissueid bigint")
    op.execute("ALTER TABLE alertchannel ADD COLUMN leaseholder text")
    op.execute("ALTER TABLE alertmute ADD COLUMN liftedat timestamptz")
    op.execute("ALTER TABLE alertmute ADD COLUMN releasedto bigint NOT NULL DEFAULT '0'")
    op.execute("ALTER TABLE alertrule ADD COLUMN service boolean NOT NULL DEFAULT false")
    # What is there holds all the same.
    op.execute(
        "-- squawk-ignore ban-drop-constraint\nALTER TABLE alertrule DROP CONSTRAINT ck_alertrule_kinds"
    )
    op.execute(
        "ALTER TABLE alertrule ADD CONSTRAINT ck_alertrule_kinds"
        " CHECK (cardinality(kinds) > 0 OR service) NOT VALID"
    )


def downgrade() -> None:
    op.execute("DELETE FROM alertrule WHERE cardinality(kinds) = 0")
    op.execute("ALTER TABLE alertrule DROP CONSTRAINT ck_alertrule_kinds")
    op.execute("ALTER TABLE alertrule ADD CONSTRAINT ck_alertrule_kinds CHECK (cardinality(kinds) > 0)")
    op.execute("ALTER TABLE alertrule DROP COLUMN service")
    op.execute("DELETE FROM alertmute WHERE liftedat IS NOT NULL")
    op.execute("ALTER TABLE alertmute DROP COLUMN releasedto")
    op.execute("ALTER TABLE alertmute DROP COLUMN liftedat")
    op.execute("ALTER TABLE alertchannel DROP COLUMN leaseholder")
    op.execute("DELETE FROM alert WHERE serviceissueid IS NOT NULL")
    op.execute("ALTER TABLE alert DROP COLUMN serviceissueid")
    op.execute("DROP TABLE serviceissue")
