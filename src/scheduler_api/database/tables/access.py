"""Projects, who may do what in them, and what was done."""

from sqlalchemy import (
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
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from scheduler_api.database.tables.base import Instant, metadata

#: What jobs, keys and roles belong to.
project = Table(
    "project",
    metadata,
    Column("name", Text, primary_key=True),
    Column("description", Text, nullable=False, server_default=""),
    Column("createdat", Instant, nullable=False),
    # How much it may use; null: as much as there is. Jobs, bytes of a body, requests a second, event streams.
    Column("maxjobs", Integer),
    Column("maxbody", Integer),
    Column("maxrequests", Integer),
    Column("maxstreams", Integer),
    CheckConstraint("least(maxjobs, maxbody, maxrequests, maxstreams) >= 1", name="quotas"),
)

# What the targets of a project's jobs name, to be let in where they call.
projectsecret = Table(
    "projectsecret",
    metadata,
    Column("secretid", BigInteger, Identity(always=True), primary_key=True),
    Column("project", ForeignKey("project.name", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    # Scheme, host and port of the only place where it is sent.
    Column("origin", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    # Whether it came with a job: then it goes when no job names it any more.
    Column("generated", Boolean, nullable=False, server_default="false"),
    Column("createdat", Instant, nullable=False),
    Column("changedat", Instant, nullable=False),
    UniqueConstraint("project", "name"),
)

# What was done, to whatever it is. It says so still when the job or the user is gone.
auditevent = Table(
    "auditevent",
    metadata,
    Column("changeid", BigInteger, Identity(always=True), primary_key=True),
    # Null: it was done to no job.
    Column("jobid", BigInteger),
    Column("at", Instant, nullable=False),
    Column("action", Text, nullable=False),
    # Who did it; and with what program on which machine, as far as known.
    Column("actor", Text, nullable=False),
    Column("client", Text),
    # From where it came; null: from this machine, or from the service itself.
    Column("address", Text),
    # Of the job, or of the key, as it was then.
    Column("project", Text),
    Column("before", JSONB),
    Column("after", JSONB),
    CheckConstraint(
        "action IN ('created', 'edited', 'paused', 'resumed', 'deleted', 'skipped', 'repaired', 'started', "
        "'backfilled', 'retried', 'cancelled', 'secretadded', 'secretremoved', 'limitset', 'limitremoved', "
        "'restoreconfirmed', 'calendarset', 'calendarremoved', 'signedin', 'signinrefused', 'signedout', "
        "'useradded', 'userchanged', 'userremoved', 'passwordset', 'linkmade', 'keyadded', 'keyrevoked', "
        "'projectadded', 'projectremoved', 'secretset', 'projectchanged', 'channeladded', 'channelchanged', "
        "'channelremoved', 'ruleadded', 'ruleremoved', 'acknowledged', 'redriven', 'muteadded', "
        "'muteremoved', 'addresschanged', 'issueclosed', 'restored')",
        name="action",
    ),
    CheckConstraint("actor IN ('local', 'user', 'key', 'schedule')", name="actor"),
    Index("ix_auditevent_repaired", "at", postgresql_where=text("action = 'repaired'")),
    Index("ix_auditevent_jobid_changeid", "jobid", "changeid"),
)

# People who sign in.
useraccount = Table(
    "useraccount",
    metadata,
    Column("userid", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # Everywhere; null: in some projects only.
    Column("role", Text),
    # By argon2id, in its own format; null: none was set.
    Column("passwordhash", Text),
    Column("createdat", Instant, nullable=False),
    Column("lastseen", Instant),
    CheckConstraint("role IN ('metrics', 'viewer', 'operator', 'editor', 'admin')", name="role"),
)

# What users may do in single projects.
projectrole = Table(
    "projectrole",
    metadata,
    Column("userid", ForeignKey(useraccount.c.userid, ondelete="CASCADE"), primary_key=True),
    Column("project", ForeignKey(project.c.name, ondelete="CASCADE"), primary_key=True),
    Column("role", Text, nullable=False),
    CheckConstraint("role IN ('metrics', 'viewer', 'operator', 'editor')", name="role"),
    Index("ix_projectrole_project", "project"),
)

# Users whom an identity provider signs in: who they are there, whatever they are called.
useridentity = Table(
    "useridentity",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("userid", ForeignKey(useraccount.c.userid, ondelete="CASCADE"), nullable=False, unique=True),
)

# Of all that lets somebody in only the digest is kept, by SHA-256.
usersession = Table(
    "usersession",
    metadata,
    Column("sessionid", BigInteger, Identity(always=True), primary_key=True),
    Column("userid", ForeignKey(useraccount.c.userid, ondelete="CASCADE"), nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("createdat", Instant, nullable=False),
    Column("seenat", Instant, nullable=False),
    # The program and the machine that signed in.
    Column("client", Text),
    Index("ix_usersession_userid", "userid"),
)

# Links by which a user comes in once, to set a password.
signinlink = Table(
    "signinlink",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("userid", ForeignKey(useraccount.c.userid, ondelete="CASCADE"), nullable=False),
    Column("createdat", Instant, nullable=False),
    Column("expiresat", Instant, nullable=False),
    Index("ix_signinlink_userid", "userid"),
)

# Tries to sign in at an identity provider that are in progress. The digest is of what the browser keeps and
# of what the address shows, together.
signinattempt = Table(
    "signinattempt",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("createdat", Instant, nullable=False),
    Column("address", Text, nullable=False),
    # The page that it is for.
    Column("back", Text, nullable=False),
    Index("ix_signinattempt_address", "address", "createdat"),
    Index("ix_signinattempt_createdat", "createdat"),
)

# Tries to sign in that failed, or are in progress, of the last hour: all replicas count together.
signintry = Table(
    "signintry",
    metadata,
    Column("tryid", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Index("ix_signintry_name", "name", "at"),
    Index("ix_signintry_address", "address", "at"),
    Index("ix_signintry_at", "at"),
)

# What programs come in with.
apikey = Table(
    "apikey",
    metadata,
    Column("keyid", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    # Where; null: everywhere.
    Column("project", ForeignKey(project.c.name, ondelete="CASCADE")),
    # How it begins, to tell keys apart.
    Column("prefix", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("createdat", Instant, nullable=False),
    # Who added it.
    Column("createdby", Text),
    Column("expiresat", Instant),
    # To the minute.
    Column("lastused", Instant),
    Column("revokedat", Instant),
    CheckConstraint("role IN ('metrics', 'viewer', 'operator', 'editor', 'admin')", name="role"),
    Index("ix_apikey_project", "project", postgresql_where=text("project IS NOT NULL")),
)
