"""Logs, attempts and lines in parts: the live rows, and a part for each stretch of history.

The tables are made anew and filled from the ones before: that takes as long as their rows do.
"""

from alembic import op

from scheduler_api.database.upgrading import outdate

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

LOG = (
    "logid", "jobid", "scheduledfor", "nextrun", "lastrun", "startedat", "finishedat", "missed", "through",
    "following", "leaseuntil", "status", "cause", "kind", "runs", "attempt", "spent", "leasetoken", "host",
    "reason", "error", "body",
)  # fmt: skip
ATTEMPT = (
    "startedat", "finishedat", "attempt", "outcome", "failure", "error", "httpstatus", "timing", "excerpt",
    "progress", "message", "replica",
)  # fmt: skip
LINE = ("lineid", "at", "attempt", "line")
ENUMS = {
    "logstatus": "'pending', 'running', 'finished', 'failed', 'skipped'",
    "logcause": "'schedule', 'manual', 'backfill', 'after'",
    "runkind": "'plain', 'http'",
}
#: The columns that have become one of them.
OF_ENUMS = {"status": "logstatus", "cause": "logcause", "kind": "runkind"}
TABLES = ("joblog", "logattempt", "logline")

# Of a check, the name is all that the tables before and since differ in.
REASONS = (
    "'misfire', 'paused', 'excluded', 'overlap', 'dst-gap', 'until', 'superseded', 'deleted', 'request', "
    "'cancelled'"
)
LOG_CHECKS = {
    "attempt": "attempt >= 1",
    "missed": "missed >= 0",
    "through": "(missed > 0) = (through IS NOT NULL)",
    "nextrun": "(status = 'pending') = (nextrun IS NOT NULL)",
    "finishedat": "(status IN ('finished', 'failed', 'skipped')) = (finishedat IS NOT NULL)",
    "reason": "(status = 'skipped') = (reason IS NOT NULL)",
    "known_reason": f"reason IN ({REASONS})",
    "error": "(status = 'failed') = (error IS NOT NULL)",
    "lease": "(status = 'running') = (num_nonnulls(leasetoken, leaseuntil) = 2)",
    "leasetoken": "num_nonnulls(leasetoken, leaseuntil) <> 1",
    "following": "following IS NULL OR status IN ('pending', 'running')",
    "spent": "spent >= 0 AND spent < attempt",
}
CHECKS_BEFORE = LOG_CHECKS | {
    "status": "status IN ('pending', 'running', 'finished', 'failed', 'skipped')",
    "cause": "cause IN ('schedule', 'manual', 'backfill', 'after')",
    "runkind": "kind IN ('plain', 'http') AND (kind = 'http') = (host IS NOT NULL)",
    "parentlogid": "(cause = 'after') = (parentlogid IS NOT NULL)",
}
CHECKS_SINCE = LOG_CHECKS | {
    "day": "day = 'infinity' OR status NOT IN ('pending', 'running')",
    "runkind": "(kind = 'http') = (host IS NOT NULL)",
    "parentlogid": "(cause = 'after') = (parentlogid <> 0)",
}
ATTEMPT_CHECKS = {
    "attempt": "attempt >= 1",
    "outcome": ("outcome IN ('running', 'accepted', 'finished', 'failed', 'lost', 'cancelled', 'released')"),
    "failure": (
        "failure IN ('connect', 'dns', 'timeout', 'tls', 'protocol', 'blocked', 'redirect', 'status',"
        " 'pattern', 'gone', 'lost', 'silent', 'cancelled', 'reported', 'busy', 'template')"
    ),
    "finishedat": "(outcome IN ('running', 'accepted')) = (finishedat IS NULL)",
    "progress": "progress BETWEEN 0 AND 100",
}


def _checks(table: str, checks: dict[str, str]) -> str:
    return ", ".join(f"CONSTRAINT ck_{table}_{name} CHECK ({rule})" for name, rule in checks.items())


VACUUM = (
    "autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,"
    " autovacuum_vacuum_cost_delay = 0"
)
SINCE = (
    f"""
    CREATE TABLE joblog (
        logid bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
        jobid bigint NOT NULL,
        scheduledfor timestamptz NOT NULL,
        nextrun timestamptz,
        lastrun timestamptz,
        startedat timestamptz,
        finishedat timestamptz,
        missed bigint NOT NULL DEFAULT '0',
        through timestamptz,
        parentlogid bigint NOT NULL DEFAULT '0',
        following timestamptz,
        ahead timestamptz,
        leaseuntil timestamptz,
        day date NOT NULL DEFAULT 'infinity',
        status logstatus NOT NULL DEFAULT 'pending',
        cause logcause NOT NULL DEFAULT 'schedule',
        kind runkind NOT NULL DEFAULT 'plain',
        runs integer NOT NULL DEFAULT '0',
        attempt smallint NOT NULL DEFAULT '1',
        spent smallint NOT NULL DEFAULT '0',
        leasetoken uuid,
        host text,
        reason text,
        error text,
        body jsonb,
        CONSTRAINT pk_joblog PRIMARY KEY (logid, day),
        CONSTRAINT uq_joblog_occurrence UNIQUE (jobid, scheduledfor, parentlogid, cause, day),
        {_checks("joblog", CHECKS_SINCE)}
    ) PARTITION BY RANGE (day)
    """,
    "CREATE INDEX ix_joblog_beside ON joblog (jobid, startedat)"
    " WHERE cause <> 'schedule' AND startedat IS NOT NULL",
    "CREATE INDEX ix_joblog_failed ON joblog (logid) WHERE status = 'failed'",
    "CREATE INDEX ix_joblog_scheduledfor ON joblog USING brin (scheduledfor)"
    " WITH (pages_per_range = 32, autosummarize = true)",
    "CREATE INDEX ix_joblog_through ON joblog (through) WHERE through IS NOT NULL",
    "CREATE INDEX ix_joblog_failing ON joblog (jobid) WHERE status = 'failed'",
    "CREATE INDEX ix_joblog_failedat ON joblog (finishedat) WHERE status = 'failed'",
    f"""
    CREATE TABLE logattempt (
        logid bigint NOT NULL,
        jobid bigint NOT NULL,
        startedat timestamptz NOT NULL,
        finishedat timestamptz,
        day date NOT NULL DEFAULT 'infinity',
        attempt smallint NOT NULL,
        outcome text NOT NULL DEFAULT 'running',
        failure text,
        error text,
        httpstatus integer,
        timing jsonb,
        excerpt text,
        progress integer,
        message text,
        replica text NOT NULL,
        CONSTRAINT pk_logattempt PRIMARY KEY (logid, attempt, day),
        {_checks("logattempt", ATTEMPT_CHECKS)}
    ) PARTITION BY RANGE (day)
    """,
    """
    CREATE TABLE logline (
        lineid bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
        logid bigint NOT NULL,
        jobid bigint NOT NULL,
        at timestamptz NOT NULL,
        day date NOT NULL DEFAULT 'infinity',
        attempt smallint NOT NULL,
        line text NOT NULL,
        CONSTRAINT pk_logline PRIMARY KEY (lineid, day)
    ) PARTITION BY RANGE (day)
    """,
    "CREATE INDEX ix_logline_logid_lineid ON logline (logid, lineid)",
    *(
        f"CREATE TABLE {table}_live PARTITION OF {table} FOR VALUES FROM ('infinity') TO (MAXVALUE)"
        f" WITH (fillfactor = 50, {VACUUM})"
        for table in TABLES
    ),
    "ALTER TABLE joblog_live ADD CONSTRAINT fk_joblog_live_jobid FOREIGN KEY (jobid) REFERENCES job (jobid)",
    "CREATE UNIQUE INDEX uq_joblog_live_nextrun ON joblog_live (jobid)"
    " WHERE cause = 'schedule' AND (status = 'pending' AND attempt = 1 OR following IS NOT NULL)",
    "CREATE INDEX ix_joblog_live_due ON joblog_live (nextrun, logid)"
    " WHERE status = 'pending' AND kind = 'plain'",
    "CREATE INDEX ix_joblog_live_calls ON joblog_live (nextrun, logid)"
    " WHERE status = 'pending' AND kind = 'http'",
    "CREATE INDEX ix_joblog_live_hosts ON joblog_live (host, nextrun, logid)"
    " WHERE status = 'pending' AND kind = 'http'",
    "CREATE INDEX ix_joblog_live_retry ON joblog_live (jobid) WHERE status = 'pending' AND attempt > 1",
    "CREATE INDEX ix_joblog_live_running ON joblog_live (jobid, host) WHERE status = 'running'",
    """
    CREATE TABLE history (
        onlyrow boolean NOT NULL DEFAULT true,
        firstday date NOT NULL,
        lastday date NOT NULL,
        CONSTRAINT pk_history PRIMARY KEY (onlyrow),
        CONSTRAINT ck_history_onlyrow CHECK (onlyrow),
        CONSTRAINT ck_history_days CHECK (firstday <= lastday)
    )
    """,
)
#: A part a week, from the oldest day that has a settled row on, but for one with all that is older than
#: 13 weeks; up to the end of the next week.
PARTS = """
    DO $$
    DECLARE
        monday date := date_trunc('week', now() AT TIME ZONE 'UTC')::date;
        oldest date := least(monday, (
            SELECT min((scheduledfor AT TIME ZONE 'UTC')::date) FROM joblog_before
            WHERE status NOT IN ('pending', 'running')
        ));
        first date := oldest;
        following date;
        name text;
    BEGIN
        INSERT INTO history (firstday, lastday) VALUES (oldest, monday + 13);
        WHILE first < monday + 14 LOOP
            following := greatest(monday - 91, date_trunc('week', first)::date + 7);
            FOREACH name IN ARRAY ARRAY['joblog', 'logattempt', 'logline'] LOOP
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                               name || '_' || to_char(first, 'YYYYMMDD'), name, first, following);
            END LOOP;
            first := following;
        END LOOP;
    END $$
"""
# What is settled ahead of its time stays with the live rows.
DAY = """
    CASE WHEN status IN ('pending', 'running') OR coalesce(through, scheduledfor) > now() THEN 'infinity'
         ELSE CAST(scheduledfor AT TIME ZONE 'UTC' AS date) END
"""
OVERRIDE = "OVERRIDING SYSTEM VALUE"
LOG_SINCE = ", ".join(f"CAST({c} AS {OF_ENUMS[c]})" if c in OF_ENUMS else c for c in LOG)
FILL_SINCE = (
    f"""
    INSERT INTO joblog ({", ".join(LOG)}, day, parentlogid) {OVERRIDE}
    SELECT {LOG_SINCE}, {DAY}, coalesce(parentlogid, 0) FROM joblog_before
    """,
    f"""
    INSERT INTO logattempt (logid, jobid, day, {", ".join(ATTEMPT)})
    SELECT logid, joblog.jobid, joblog.day, {", ".join(f"sent.{c}" for c in ATTEMPT)}
    FROM logattempt_before AS sent JOIN joblog USING (logid)
    """,
    f"""
    INSERT INTO logline (logid, jobid, day, {", ".join(LINE)}) {OVERRIDE}
    SELECT logid, joblog.jobid, joblog.day, {", ".join(f"told.{c}" for c in LINE)}
    FROM logline_before AS told JOIN joblog USING (logid)
    """,
)

BEFORE = (
    f"""
    CREATE TABLE joblog (
        logid bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
        jobid bigint NOT NULL,
        scheduledfor timestamptz NOT NULL,
        nextrun timestamptz,
        lastrun timestamptz,
        status text NOT NULL DEFAULT 'pending',
        cause text NOT NULL DEFAULT 'schedule',
        attempt integer NOT NULL DEFAULT 1,
        missed bigint NOT NULL DEFAULT '0',
        startedat timestamptz,
        finishedat timestamptz,
        reason text,
        error text,
        through timestamptz,
        runs integer NOT NULL DEFAULT 0,
        parentlogid bigint,
        host text,
        following timestamptz,
        leasetoken uuid,
        leaseuntil timestamptz,
        spent integer NOT NULL DEFAULT 0,
        kind text NOT NULL DEFAULT 'plain',
        body jsonb,
        CONSTRAINT pk_joblog PRIMARY KEY (logid),
        CONSTRAINT uq_joblog_occurrence
            UNIQUE NULLS NOT DISTINCT (jobid, scheduledfor, cause, parentlogid),
        CONSTRAINT fk_joblog_jobid FOREIGN KEY (jobid) REFERENCES job (jobid) ON DELETE CASCADE,
        {_checks("joblog", CHECKS_BEFORE)}
    ) WITH (fillfactor = 85, {VACUUM})
    """,
    "CREATE INDEX ix_joblog_beside ON joblog (jobid, startedat)"
    " WHERE cause <> 'schedule' AND startedat IS NOT NULL",
    "CREATE INDEX ix_joblog_calls ON joblog (nextrun, logid) WHERE status = 'pending' AND kind = 'http'",
    "CREATE INDEX ix_joblog_due ON joblog (nextrun, logid) WHERE status = 'pending' AND kind = 'plain'",
    "CREATE INDEX ix_joblog_failed ON joblog (logid) WHERE status = 'failed'",
    "CREATE INDEX ix_joblog_failedat ON joblog (finishedat) WHERE status = 'failed'",
    "CREATE INDEX ix_joblog_failing ON joblog (jobid) WHERE status = 'failed'",
    "CREATE INDEX ix_joblog_hosts ON joblog (host, nextrun, logid)"
    " WHERE status = 'pending' AND kind = 'http'",
    "CREATE INDEX ix_joblog_retry ON joblog (jobid) WHERE status = 'pending' AND attempt > 1",
    "CREATE INDEX ix_joblog_running ON joblog (jobid, host) WHERE status = 'running'",
    "CREATE INDEX ix_joblog_scheduledfor ON joblog USING brin (scheduledfor)"
    " WITH (pages_per_range = 32, autosummarize = true)",
    "CREATE INDEX ix_joblog_through ON joblog (through) WHERE through IS NOT NULL",
    "CREATE UNIQUE INDEX uq_joblog_promise ON joblog (jobid)"
    " WHERE cause = 'schedule' AND (status = 'pending' AND attempt = 1 OR following IS NOT NULL)",
    f"""
    CREATE TABLE logattempt (
        logid bigint NOT NULL,
        attempt integer NOT NULL,
        startedat timestamptz NOT NULL,
        finishedat timestamptz,
        outcome text NOT NULL DEFAULT 'running',
        failure text,
        error text,
        httpstatus integer,
        timing jsonb,
        excerpt text,
        progress integer,
        message text,
        replica text NOT NULL,
        CONSTRAINT pk_logattempt PRIMARY KEY (logid, attempt),
        CONSTRAINT fk_logattempt_logid FOREIGN KEY (logid) REFERENCES joblog (logid) ON DELETE CASCADE,
        {_checks("logattempt", ATTEMPT_CHECKS)}
    )
    """,
    """
    CREATE TABLE logline (
        lineid bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
        logid bigint NOT NULL,
        attempt integer NOT NULL,
        at timestamptz NOT NULL,
        line text NOT NULL,
        CONSTRAINT pk_logline PRIMARY KEY (lineid),
        CONSTRAINT fk_logline_logid FOREIGN KEY (logid) REFERENCES joblog (logid) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_logline_logid_lineid ON logline (logid, lineid)",
)
FILL_BEFORE = (
    f"""
    INSERT INTO joblog ({", ".join(LOG)}, parentlogid) {OVERRIDE}
    SELECT {", ".join(LOG)}, nullif(parentlogid, 0) FROM joblog_since
    """,
    f"""
    INSERT INTO logattempt (logid, {", ".join(ATTEMPT)})
    SELECT logid, {", ".join(ATTEMPT)} FROM logattempt_since
    """,
    f"""
    INSERT INTO logline (logid, {", ".join(LINE)}) {OVERRIDE}
    SELECT logid, {", ".join(LINE)} FROM logline_since
    """,
)


def upgrade() -> None:
    # Older code would write rows of history that nobody moves.
    outdate(14)
    for name, values in ENUMS.items():
        op.execute(f"CREATE TYPE {name} AS ENUM ({values})")
    _change_kind("runkind", "(kind = 'http') = (host IS NOT NULL)")
    _put_aside("before")
    for statement in (*SINCE, PARTS, *FILL_SINCE):
        op.execute(statement)
    _go_on("before")


def downgrade() -> None:
    _put_aside("since")
    for statement in (*BEFORE, *FILL_BEFORE):
        op.execute(statement)
    _go_on("since")
    op.execute("DROP TABLE history")
    _change_kind("text", "kind IN ('plain', 'http') AND (kind = 'http') = (host IS NOT NULL)")
    for name in ENUMS:
        op.execute(f"DROP TYPE {name}")
    op.execute("UPDATE schemaversion SET compatiblefrom = 13")


def _change_kind(kind: str, check: str) -> None:
    op.execute(
        f"""
        ALTER TABLE job DROP CONSTRAINT ck_job_runkind, ALTER kind DROP DEFAULT,
            ALTER kind TYPE {kind} USING CAST(kind AS {kind})
        """
    )
    op.execute(
        f"ALTER TABLE job ALTER kind SET DEFAULT 'plain', ADD CONSTRAINT ck_job_runkind CHECK ({check})"
    )


def _put_aside(name: str) -> None:
    """Give the tables of logs other names, and all that needs a name of its own in the schema."""
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} RENAME TO {table}_{name}")
    for sequence in ("joblog_logid", "logline_lineid"):
        op.execute(f"ALTER SEQUENCE {sequence}_seq RENAME TO {sequence}_{name}_seq")
    op.execute(
        f"""
        DO $$
        DECLARE found regclass; kept name;
        BEGIN
            -- From version 18 on, NOT NULL has a name as well.
            FOR found, kept IN
                SELECT conrelid, conname FROM pg_constraint
                WHERE conrelid IN ('joblog_{name}'::regclass, 'logattempt_{name}'::regclass,
                                   'logline_{name}'::regclass) AND contype = 'n'
            LOOP
                EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', found, kept, kept || '_{name}');
            END LOOP;
            FOR found IN
                SELECT indexrelid FROM pg_index
                WHERE indrelid IN ('joblog_{name}'::regclass, 'logattempt_{name}'::regclass,
                                   'logline_{name}'::regclass)
            LOOP
                EXECUTE format('ALTER INDEX %s RENAME TO %I', found, found || '_{name}');
            END LOOP;
        END $$
        """
    )


def _go_on(name: str) -> None:
    """Give out ids from where the tables before have come to; these go."""
    for table, key in (("joblog", "logid"), ("logline", "lineid")):
        op.execute(f"SELECT setval('{table}_{key}_seq', last_value, is_called) FROM {table}_{key}_{name}_seq")
    op.execute(f"DROP TABLE {', '.join(f'{table}_{name}' for table in TABLES)}")
    # The table of runs is another one: the database has not moved.
    op.execute("UPDATE installation SET mark = NULL, writer = NULL")
