"""What is wrong, and who is told."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from scheduler_api.database.tables.access import project
from scheduler_api.database.tables.base import NEVER, Instant, metadata
from scheduler_api.database.tables.jobs import job

# What is wrong with a job, from when it was noticed until it was over: one at a time of each kind. It is
# changed under the job's lock.
jobissue = Table(
    "jobissue",
    metadata,
    Column("issueid", BigInteger, Identity(always=True), primary_key=True),
    Column("jobid", ForeignKey(job.c.jobid, ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("since", Instant, nullable=False),
    # When it was noticed last, and how many runs or occurrences it is about by now.
    Column("seenat", Instant, nullable=False),
    Column("times", BigInteger, nullable=False, server_default="1"),
    # The first and the last of these; the log of the last one, and what that said.
    Column("firstfor", Instant),
    Column("lastfor", Instant),
    Column("logid", BigInteger),
    Column("error", Text),
    # Whether issues of its kind had come and gone too often when it began.
    Column("flapping", Boolean, nullable=False, server_default="false"),
    # Null: it is open.
    Column("endedat", Instant),
    Column("ending", Text),
    # Who knows of it, since when and until when; null: until it is over.
    Column("ackedby", Text),
    Column("ackedat", Instant),
    Column("ackeduntil", Instant),
    # When those are reminded who were told of it.
    Column("remindat", Instant),
    Column("reminders", Integer, nullable=False, server_default="0"),
    # How many runs in a row have finished since.
    Column("successes", Integer, nullable=False, server_default="0"),
    CheckConstraint("kind IN ('failed', 'missed', 'late', 'stuck', 'silent', 'paused')", name="kind"),
    CheckConstraint("times >= 1", name="times"),
    CheckConstraint("(endedat IS NULL) = (ending IS NULL)", name="endedat"),
    CheckConstraint(
        "ending IN ('recovered', 'edited', 'paused', 'resumed', 'deleted', 'closed')", name="ending"
    ),
    CheckConstraint("(ackedby IS NULL) = (ackedat IS NULL)", name="ackedat"),
    CheckConstraint("ackedat IS NOT NULL OR ackeduntil IS NULL", name="ackeduntil"),
    Index("ix_jobissue_open", "jobid", "kind", unique=True, postgresql_where=text("endedat IS NULL")),
    Index("ix_jobissue_jobid", "jobid", "kind", "endedat"),
    Index("ix_jobissue_flapping", "endedat", postgresql_where=text("flapping")),
    Index("ix_jobissue_endedat", "endedat", postgresql_where=text("endedat IS NOT NULL")),
    Index("ix_jobissue_remindat", "remindat", postgresql_where=text("endedat IS NULL")),
)

# What is wrong with the service itself, for as long as a replica finds it. The subject tells it from others
# of its kind.
serviceissue = Table(
    "serviceissue",
    metadata,
    Column("serviceissueid", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("since", Instant, nullable=False),
    # When it was found last.
    Column("seenat", Instant, nullable=False),
    # What it is, why, and what to do, in words.
    Column("what", Text, nullable=False),
    Column("why", Text),
    Column("action", Text, nullable=False),
    # When those are reminded who were told of it.
    Column("remindat", Instant, nullable=False),
    Column("reminders", Integer, nullable=False, server_default="0"),
    UniqueConstraint("kind", "subject"),
    CheckConstraint(
        "kind IN ('database', 'replica', 'crowded', 'disk', 'export', 'transaction', 'channel', 'restored')",
        name="kind",
    ),
)

# Where people are told.
alertchannel = Table(
    "alertchannel",
    metadata,
    Column("channelid", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # Which service it is, and so how messages are written.
    Column("kind", Text, nullable=False),
    # Addresses of mail; or what a message is sent to: who knows it can write there. Encrypted, as JSON.
    Column("recipients", ARRAY(Text), nullable=False, server_default="{}"),
    Column("ciphertext", LargeBinary),
    # Its scheme, host and port.
    Column("origin", Text),
    Column("createdat", Instant, nullable=False),
    Column("changedat", Instant, nullable=False),
    # Who sends to it now, under which name it is there, and until when at most.
    Column("leasetoken", Uuid),
    Column("leaseholder", Text),
    Column("leaseuntil", Instant),
    # Nothing is sent before then: to gather more for one message, or as it does not take any.
    Column("openfrom", Instant, nullable=False, server_default=NEVER),
    Column("lastsent", Instant),
    # How many tries in a row have failed, since when, and why the last one did.
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failingsince", Instant),
    Column("error", Text),
    CheckConstraint(
        "kind IN ('webhook', 'email', 'slack', 'discord', 'teams', 'telegram', 'ntfy', 'pagerduty', "
        "'opsgenie', 'apprise')",
        name="kind",
    ),
    CheckConstraint("(kind = 'email') = (cardinality(recipients) > 0)", name="recipients"),
    CheckConstraint("(kind = 'email') = (ciphertext IS NULL)", name="ciphertext"),
    CheckConstraint("(ciphertext IS NULL) = (origin IS NULL)", name="origin"),
    CheckConstraint("(leasetoken IS NULL) = (leaseuntil IS NULL)", name="lease"),
    CheckConstraint("(failures > 0) = (num_nonnulls(failingsince, error) = 2)", name="failures"),
)

# Which issues a channel is told of. Null and empty: whatever it is.
alertrule = Table(
    "alertrule",
    metadata,
    Column("ruleid", BigInteger, Identity(always=True), primary_key=True),
    Column("channelid", ForeignKey(alertchannel.c.channelid, ondelete="CASCADE"), nullable=False),
    Column("project", ForeignKey(project.c.name, ondelete="CASCADE")),
    Column("tag", Text),
    Column("jobid", ForeignKey(job.c.jobid, ondelete="CASCADE")),
    Column("kinds", ARRAY(Text), nullable=False),
    # After how many failures: in a row, or among the newest runs.
    Column("after", Integer, nullable=False, server_default="1"),
    Column("outof", Integer),
    # Whether it is told of the service itself.
    Column("service", Boolean, nullable=False, server_default="false"),
    # Whether it is told again while an issue is open, and when it is over.
    Column("reminds", Boolean, nullable=False, server_default="true"),
    Column("recovers", Boolean, nullable=False, server_default="true"),
    Column("createdat", Instant, nullable=False),
    CheckConstraint("after >= 1", name="after"),
    CheckConstraint("outof >= after", name="outof"),
    CheckConstraint("cardinality(kinds) > 0 OR service", name="kinds"),
    Index("ix_alertrule_channelid", "channelid"),
    Index("ix_alertrule_project", "project", postgresql_where=text("project IS NOT NULL")),
    Index("ix_alertrule_jobid", "jobid", postgresql_where=text("jobid IS NOT NULL")),
)

# Times in which alerts are held back. Null: of whatever job.
alertmute = Table(
    "alertmute",
    metadata,
    Column("muteid", BigInteger, Identity(always=True), primary_key=True),
    Column("project", ForeignKey("project.name", ondelete="CASCADE")),
    Column("tag", Text),
    Column("jobid", ForeignKey("job.jobid", ondelete="CASCADE")),
    # When it holds; of one on a cron, this time or the next.
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    # When its windows begin, in which zone, and how long each is.
    Column("cron", Text),
    Column("timezone", Text, nullable=False, server_default="UTC"),
    Column("minutes", Integer),
    Column("reason", Text, nullable=False, server_default=""),
    Column("createdat", Instant, nullable=False),
    Column("createdby", Text),
    # Since when it holds nothing any longer; and up to which alert what it held back was released.
    Column("liftedat", Instant),
    Column("releasedto", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("until > since", name="until"),
    CheckConstraint("(cron IS NULL) = (minutes IS NULL)", name="cron"),
    Index("ix_alertmute_project", "project", postgresql_where=text("project IS NOT NULL")),
    Index("ix_alertmute_jobid", "jobid", postgresql_where=text("jobid IS NOT NULL")),
)

# What a channel is to be told, or was: added in the transaction of what it tells of. Nothing keeps the
# channel in its place meanwhile: who removes one must not keep results from being written.
alert = Table(
    "alert",
    metadata,
    Column("alertid", BigInteger, Identity(always=True), primary_key=True),
    Column("channelid", BigInteger, nullable=False),
    # By which rule, about which issue of which job, or of the service; they may be gone. Null: a test.
    Column("ruleid", BigInteger),
    Column("issueid", BigInteger),
    Column("serviceissueid", BigInteger),
    Column("jobid", BigInteger),
    Column("event", Text, nullable=False),
    # Which of several reminders.
    Column("number", Integer, nullable=False, server_default="0"),
    Column("at", Instant, nullable=False),
    # The job and the issue, as they were.
    Column("facts", JSONB, nullable=False),
    # Held back until then.
    Column("holduntil", Instant),
    # The message that it is sent in, which keeps its id however often it is tried.
    Column("messageid", Uuid),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("sentat", Instant),
    # Since when it is not tried any more.
    Column("deadat", Instant),
    Column("error", Text),
    UniqueConstraint("channelid", "issueid", "event", "number"),
    CheckConstraint("event IN ('opened', 'reminder', 'ended', 'test')", name="event"),
    CheckConstraint("num_nonnulls(sentat, deadat) <= 1", name="over"),
    CheckConstraint("sentat IS NULL OR messageid IS NOT NULL", name="sentat"),
    Index(
        "ix_alert_waiting",
        "channelid",
        "alertid",
        postgresql_where=text("sentat IS NULL AND deadat IS NULL"),
    ),
    Index("ix_alert_sentat", "channelid", "sentat", postgresql_where=text("sentat IS NOT NULL")),
    Index("ix_alert_issueid", "issueid"),
    Index(
        "ix_alert_serviceissueid",
        "serviceissueid",
        "channelid",
        "event",
        "number",
        unique=True,
        postgresql_where=text("serviceissueid IS NOT NULL"),
    ),
    Index("ix_alert_dead", "alertid", postgresql_where=text("deadat IS NOT NULL")),
    Index("ix_alert_at", "at"),
)
