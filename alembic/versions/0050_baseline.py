"""The schema of the first release. What led there is in the history of the repository."""

from alembic import op
from sqlalchemy import text

revision = "0050"
down_revision = None
branch_labels = None
depends_on = None

TYPES = {
    "logstatus": "'pending', 'running', 'finished', 'failed', 'skipped'",
    "logcause": "'schedule', 'manual', 'backfill', 'after'",
    "runkind": "'plain', 'http', 'monitor'",
}
# Projects, the jobs in them, and their runs.
RUNS = (
    """
    CREATE TABLE project (
        name text NOT NULL,
        description text NOT NULL DEFAULT '',
        createdat timestamptz NOT NULL,
        maxjobs integer,
        maxbody integer,
        maxrequests integer,
        maxstreams integer,
        CONSTRAINT pk_project PRIMARY KEY (name),
        CONSTRAINT ck_project_quotas CHECK (least(maxjobs, maxbody, maxrequests, maxstreams) >= 1)
    )
    """,
    """
    CREATE TABLE job (
        jobid bigint GENERATED ALWAYS AS IDENTITY,
        jobname varchar(100) NOT NULL,
        words text GENERATED ALWAYS AS (jobwords(jobname, host, tags)) STORED,
        cron text,
        active boolean NOT NULL DEFAULT true,
        pausedat timestamptz,
        deletedat timestamptz,
        startdate date,
        starttime time,
        timezone text NOT NULL DEFAULT 'UTC',
        repeat boolean NOT NULL DEFAULT false,
        interval integer,
        until timestamptz,
        maxruns integer,
        exclude text[] NOT NULL DEFAULT '{}',
        calendars text[] NOT NULL DEFAULT '{}',
        calendardays text[] NOT NULL DEFAULT '{}',
        calendarversion bigint NOT NULL DEFAULT '0',
        dstgap text NOT NULL DEFAULT 'after',
        dstfold text NOT NULL DEFAULT 'once',
        jitter integer NOT NULL DEFAULT 0,
        misfire text NOT NULL DEFAULT 'once',
        grace integer NOT NULL DEFAULT 60,
        project text NOT NULL DEFAULT 'default',
        tags text[] NOT NULL DEFAULT '{}',
        description text NOT NULL DEFAULT '',
        owner text NOT NULL DEFAULT '',
        runbook text NOT NULL DEFAULT '',
        kind runkind NOT NULL DEFAULT 'plain',
        target jsonb,
        host text,
        secretnames text[] NOT NULL DEFAULT '{}',
        monitor jsonb,
        monitortoken uuid,
        after jsonb,
        afterjobid bigint,
        overlap boolean NOT NULL DEFAULT false,
        concurrency integer,
        autopause integer,
        lateafter integer,
        stuckafter integer,
        silentafter integer,
        recoverafter integer NOT NULL DEFAULT 1,
        record text NOT NULL DEFAULT 'all',
        pausereason text,
        pauseduntil timestamptz,
        resumefrom timestamptz,
        removedat timestamptz,
        version integer NOT NULL DEFAULT 1,
        createdat timestamptz NOT NULL DEFAULT now(),
        validfrom timestamptz NOT NULL DEFAULT now(),
        kept timestamptz[] NOT NULL DEFAULT '{}',
        pauseid uuid,
        lastrun timestamptz,
        runs integer NOT NULL DEFAULT 0,
        laststatus logstatus,
        failures integer NOT NULL DEFAULT 0,
        failingsince timestamptz,
        lastsuccess timestamptz,
        openissues integer NOT NULL DEFAULT 0,
        watchedfrom timestamptz,
        distance integer,
        CONSTRAINT pk_job PRIMARY KEY (jobid),
        CONSTRAINT ck_job_openissues CHECK (openissues >= 0),
        CONSTRAINT ck_job_jobname CHECK (char_length(btrim(jobname)) >= 3),
        CONSTRAINT ck_job_repeat CHECK (repeat = (num_nonnulls(interval, cron) = 1)),
        CONSTRAINT ck_job_kind CHECK (num_nonnulls(interval, cron) <= 1),
        CONSTRAINT ck_job_start
            CHECK (num_nonnulls(cron, after) > 0 OR num_nulls(startdate, starttime) = 0),
        CONSTRAINT ck_job_after CHECK ((after IS NULL) = (afterjobid IS NULL)),
        CONSTRAINT ck_job_noschedule
            CHECK (after IS NULL OR num_nonnulls(startdate, starttime, interval, cron, until, maxruns) =
                0),
        CONSTRAINT ck_job_interval CHECK (interval >= 1),
        CONSTRAINT ck_job_maxruns CHECK (maxruns >= 1),
        CONSTRAINT ck_job_dstgap CHECK (dstgap IN ('after', 'skip')),
        CONSTRAINT ck_job_dstfold CHECK (dstfold IN ('once', 'both')),
        CONSTRAINT ck_job_jitter CHECK (jitter >= 0),
        CONSTRAINT ck_job_misfire CHECK (misfire IN ('once', 'all', 'skip')),
        CONSTRAINT ck_job_grace CHECK (grace >= 1),
        CONSTRAINT ck_job_target CHECK ((target IS NULL) = (host IS NULL)),
        CONSTRAINT ck_job_runkind CHECK ((kind = 'http') = (host IS NOT NULL)),
        CONSTRAINT ck_job_monitor
            CHECK ((kind = 'monitor') = (monitor IS NOT NULL) AND (kind = 'monitor') = (monitortoken IS
                NOT NULL)),
        CONSTRAINT ck_job_watched CHECK (least(lateafter, stuckafter, silentafter, recoverafter) >= 1),
        CONSTRAINT ck_job_concurrency CHECK (concurrency >= 1),
        CONSTRAINT ck_job_autopause CHECK (autopause >= 1),
        CONSTRAINT ck_job_record CHECK (record IN ('all', 'failures')),
        CONSTRAINT ck_job_active CHECK (NOT (active AND num_nonnulls(pausedat, deletedat) > 0)),
        CONSTRAINT ck_job_pausedat
            CHECK (pausedat IS NOT NULL OR num_nonnulls(pausereason, pauseduntil, resumefrom, pauseid) =
                0),
        CONSTRAINT fk_job_project FOREIGN KEY (project) REFERENCES project (name)
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX ix_job_afterjobid ON job (afterjobid) WHERE afterjobid IS NOT NULL",
    "CREATE INDEX ix_job_calendars ON job (jobid) WHERE cardinality(calendars) > 0",
    "CREATE INDEX ix_job_deleted ON job (jobid) WHERE deletedat IS NOT NULL",
    "CREATE INDEX ix_job_failing ON job (jobid) WHERE laststatus = 'failed'",
    "CREATE INDEX ix_job_jobname ON job (jobname, jobid) WHERE deletedat IS NULL",
    "CREATE UNIQUE INDEX ix_job_monitortoken ON job (monitortoken) WHERE monitortoken IS NOT NULL",
    "CREATE INDEX ix_job_paused ON job (jobid) WHERE pausedat IS NOT NULL",
    "CREATE INDEX ix_job_pauseduntil ON job (pauseduntil) WHERE pauseduntil IS NOT NULL",
    "CREATE INDEX ix_job_pauseid ON job (pauseid) WHERE pauseid IS NOT NULL",
    "CREATE INDEX ix_job_project ON job (project, jobid)",
    "CREATE INDEX ix_job_removedat ON job (jobid) WHERE removedat IS NOT NULL",
    ("CREATE INDEX ix_job_secretnames ON job USING gin (secretnames) WHERE cardinality(secretnames) > 0"),
    "CREATE INDEX ix_job_tags ON job USING gin (tags)",
    """
    CREATE TABLE joblog (
        logid bigint GENERATED ALWAYS AS IDENTITY,
        jobid bigint NOT NULL,
        scheduledfor timestamptz NOT NULL,
        nextrun timestamptz,
        lastrun timestamptz,
        startedat timestamptz,
        finishedat timestamptz,
        missed bigint,
        through timestamptz,
        parentlogid bigint NOT NULL DEFAULT '0',
        following timestamptz,
        ahead timestamptz,
        leaseuntil timestamptz,
        acceptedat timestamptz,
        failingsince timestamptz,
        lastsuccess timestamptz,
        day date NOT NULL DEFAULT 'infinity',
        status logstatus NOT NULL DEFAULT 'pending',
        cause logcause NOT NULL DEFAULT 'schedule',
        kind runkind NOT NULL DEFAULT 'plain',
        runs integer NOT NULL DEFAULT 0,
        laststatus logstatus,
        failures integer,
        attempt smallint NOT NULL DEFAULT '1',
        spent smallint NOT NULL DEFAULT '0',
        leasetoken uuid,
        host text,
        reason text,
        error text,
        body jsonb,
        CONSTRAINT pk_joblog PRIMARY KEY (logid, day),
        CONSTRAINT uq_joblog_occurrence UNIQUE (jobid, scheduledfor, parentlogid, cause, day),
        CONSTRAINT ck_joblog_day CHECK (day = 'infinity' OR status NOT IN ('pending', 'running')),
        CONSTRAINT ck_joblog_runkind CHECK ((kind = 'http') = (host IS NOT NULL)),
        CONSTRAINT ck_joblog_parentlogid CHECK ((cause = 'after') = (parentlogid <> 0)),
        CONSTRAINT ck_joblog_attempt CHECK (attempt >= 1),
        CONSTRAINT ck_joblog_missed CHECK (missed >= 1),
        CONSTRAINT ck_joblog_through CHECK ((missed IS NULL) = (through IS NULL)),
        CONSTRAINT ck_joblog_nextrun CHECK ((status = 'pending') = (nextrun IS NOT NULL)),
        CONSTRAINT ck_joblog_finishedat
            CHECK ((status IN ('finished', 'failed', 'skipped')) = (finishedat IS NOT NULL)),
        CONSTRAINT ck_joblog_reason CHECK ((status = 'skipped') = (reason IS NOT NULL)),
        CONSTRAINT ck_joblog_known_reason
            CHECK (reason IN ('misfire', 'paused', 'excluded', 'overlap', 'dst-gap', 'until',
                'superseded', 'deleted', 'request', 'cancelled', 'unreported')),
        CONSTRAINT ck_joblog_error CHECK ((status = 'failed') = (error IS NOT NULL)),
        CONSTRAINT ck_joblog_lease
            CHECK ((status = 'running') = (num_nonnulls(leasetoken, leaseuntil) = 2)),
        CONSTRAINT ck_joblog_leasetoken CHECK (num_nonnulls(leasetoken, leaseuntil) <> 1),
        CONSTRAINT ck_joblog_acceptedat CHECK (acceptedat IS NULL OR status = 'running'),
        CONSTRAINT ck_joblog_following CHECK (following IS NULL OR status IN ('pending', 'running')),
        CONSTRAINT ck_joblog_spent CHECK (spent >= 0 AND spent < attempt)
    ) PARTITION BY RANGE (day)
    """,
    "CREATE INDEX ix_joblog_asked ON joblog (logid) WHERE cause <> 'schedule'",
    (
        "CREATE INDEX ix_joblog_ended ON joblog USING brin (finishedat) WITH (pages_per_range = 32,"
        " autosummarize = true)"
    ),
    "CREATE INDEX ix_joblog_failed ON joblog (logid) WHERE status = 'failed'",
    "CREATE INDEX ix_joblog_failedat ON joblog (finishedat) WHERE status = 'failed'",
    (
        "CREATE INDEX ix_joblog_scheduledfor ON joblog USING brin (scheduledfor) WITH (pages_per_range ="
        " 32, autosummarize = true)"
    ),
    "CREATE INDEX ix_joblog_skipped ON joblog (logid) WHERE status = 'skipped'",
    "CREATE INDEX ix_joblog_through ON joblog (through) WHERE through IS NOT NULL",
    """
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
        CONSTRAINT ck_logattempt_attempt CHECK (attempt >= 1),
        CONSTRAINT ck_logattempt_outcome
            CHECK (outcome IN ('running', 'accepted', 'finished', 'failed', 'lost', 'cancelled',
                'released')),
        CONSTRAINT ck_logattempt_failure
            CHECK (failure IN ('connect', 'dns', 'timeout', 'tls', 'protocol', 'blocked', 'redirect',
                'status', 'pattern', 'gone', 'lost', 'silent', 'cancelled', 'reported', 'busy',
                'template')),
        CONSTRAINT ck_logattempt_finishedat
            CHECK ((outcome IN ('running', 'accepted')) = (finishedat IS NULL)),
        CONSTRAINT ck_logattempt_progress CHECK (progress BETWEEN 0 AND 100)
    ) PARTITION BY RANGE (day)
    """,
    """
    CREATE TABLE logline (
        lineid bigint GENERATED ALWAYS AS IDENTITY,
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
    """
    CREATE TABLE history (
        onlyrow boolean NOT NULL DEFAULT true,
        firstday date NOT NULL,
        lastday date NOT NULL,
        openday date NOT NULL DEFAULT '-infinity',
        closing date NOT NULL DEFAULT '-infinity',
        closingjob bigint NOT NULL DEFAULT '0',
        closedto date NOT NULL DEFAULT '-infinity',
        horizon date NOT NULL DEFAULT '-infinity',
        exportedto date NOT NULL DEFAULT '-infinity',
        leaving date[] NOT NULL DEFAULT '{}',
        CONSTRAINT pk_history PRIMARY KEY (onlyrow),
        CONSTRAINT ck_history_onlyrow CHECK (onlyrow),
        CONSTRAINT ck_history_days CHECK (firstday <= lastday)
    )
    """,
    """
    CREATE TABLE jobtally (
        jobid bigint NOT NULL,
        day date NOT NULL,
        finished integer NOT NULL,
        failed integer NOT NULL,
        skipped jsonb NOT NULL,
        missed bigint NOT NULL,
        p50 double precision,
        p95 double precision,
        rows integer NOT NULL,
        accounted bigint NOT NULL,
        runs integer,
        stopped boolean NOT NULL,
        findings jsonb,
        CONSTRAINT pk_jobtally PRIMARY KEY (jobid, day),
        CONSTRAINT fk_jobtally_jobid FOREIGN KEY (jobid) REFERENCES job (jobid) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE jobopen (
        jobid bigint NOT NULL,
        since date NOT NULL,
        CONSTRAINT pk_jobopen PRIMARY KEY (jobid),
        CONSTRAINT fk_jobopen_jobid FOREIGN KEY (jobid) REFERENCES job (jobid) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE jobthinned (
        jobid bigint NOT NULL,
        since date NOT NULL,
        goneto date NOT NULL DEFAULT '-infinity',
        CONSTRAINT pk_jobthinned PRIMARY KEY (jobid),
        CONSTRAINT fk_jobthinned_jobid FOREIGN KEY (jobid) REFERENCES job (jobid) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_jobthinned_left ON jobthinned (jobid) WHERE goneto < since",
)
# What jobs share, and what was done to all of this.
SHARED = (
    """
    CREATE TABLE jobsecret (
        secretid bigint GENERATED ALWAYS AS IDENTITY,
        jobid bigint NOT NULL,
        createdat timestamptz NOT NULL,
        ciphertext bytea NOT NULL,
        CONSTRAINT pk_jobsecret PRIMARY KEY (secretid),
        CONSTRAINT fk_jobsecret_jobid FOREIGN KEY (jobid) REFERENCES job (jobid) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_jobsecret_jobid ON jobsecret (jobid)",
    """
    CREATE TABLE projectsecret (
        secretid bigint GENERATED ALWAYS AS IDENTITY,
        project text NOT NULL,
        name text NOT NULL,
        origin text NOT NULL,
        ciphertext bytea NOT NULL,
        generated boolean NOT NULL DEFAULT false,
        createdat timestamptz NOT NULL,
        changedat timestamptz NOT NULL,
        CONSTRAINT pk_projectsecret PRIMARY KEY (secretid),
        CONSTRAINT uq_projectsecret_project_name UNIQUE (project, name),
        CONSTRAINT fk_projectsecret_project
            FOREIGN KEY (project) REFERENCES project (name) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE concurrencylimit (
        scope text NOT NULL,
        name text NOT NULL,
        "limit" integer,
        rate integer,
        busyuntil timestamptz,
        CONSTRAINT pk_concurrencylimit PRIMARY KEY (scope, name),
        CONSTRAINT ck_concurrencylimit_scope CHECK (scope IN ('tag', 'host', 'project')),
        CONSTRAINT ck_concurrencylimit_limit CHECK ("limit" >= 1),
        CONSTRAINT ck_concurrencylimit_rate CHECK (rate >= 1),
        CONSTRAINT ck_concurrencylimit_limited CHECK (num_nonnulls("limit", rate) > 0),
        CONSTRAINT ck_concurrencylimit_busyuntil CHECK (busyuntil IS NULL OR rate IS NOT NULL)
    )
    """,
    """
    CREATE TABLE hostfailure (
        host text NOT NULL,
        failures integer NOT NULL,
        since timestamptz NOT NULL,
        openuntil timestamptz,
        error text NOT NULL,
        CONSTRAINT pk_hostfailure PRIMARY KEY (host)
    )
    """,
    """
    CREATE TABLE calendar (
        name text NOT NULL,
        description text NOT NULL DEFAULT '',
        days text[] NOT NULL,
        version bigint NOT NULL,
        changedat timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_calendar PRIMARY KEY (name)
    )
    """,
    """
    CREATE TABLE auditevent (
        changeid bigint GENERATED ALWAYS AS IDENTITY,
        jobid bigint,
        at timestamptz NOT NULL,
        action text NOT NULL,
        actor text NOT NULL,
        client text,
        address text,
        project text,
        before jsonb,
        after jsonb,
        CONSTRAINT pk_auditevent PRIMARY KEY (changeid),
        CONSTRAINT ck_auditevent_action
            CHECK (action IN ('created', 'edited', 'paused', 'resumed', 'deleted', 'skipped',
                'repaired', 'started', 'backfilled', 'retried', 'cancelled', 'secretadded',
                'secretremoved', 'limitset', 'limitremoved', 'restoreconfirmed', 'calendarset',
                'calendarremoved', 'signedin', 'signinrefused', 'signedout', 'useradded', 'userchanged',
                'userremoved', 'passwordset', 'linkmade', 'keyadded', 'keyrevoked', 'projectadded',
                'projectremoved', 'secretset', 'projectchanged', 'channeladded', 'channelchanged',
                'channelremoved', 'ruleadded', 'ruleremoved', 'acknowledged', 'redriven', 'muteadded',
                'muteremoved', 'addresschanged', 'issueclosed', 'restored')),
        CONSTRAINT ck_auditevent_actor CHECK (actor IN ('local', 'user', 'key', 'schedule'))
    )
    """,
    "CREATE INDEX ix_auditevent_jobid_changeid ON auditevent (jobid, changeid)",
    "CREATE INDEX ix_auditevent_repaired ON auditevent (at) WHERE action = 'repaired'",
)
# Who may come in.
PEOPLE = (
    """
    CREATE TABLE useraccount (
        userid bigint GENERATED ALWAYS AS IDENTITY,
        name text NOT NULL,
        role text,
        passwordhash text,
        createdat timestamptz NOT NULL,
        lastseen timestamptz,
        CONSTRAINT pk_useraccount PRIMARY KEY (userid),
        CONSTRAINT ck_useraccount_role
            CHECK (role IN ('metrics', 'viewer', 'operator', 'editor', 'admin')),
        CONSTRAINT uq_useraccount_name UNIQUE (name)
    )
    """,
    """
    CREATE TABLE projectrole (
        userid bigint NOT NULL,
        project text NOT NULL,
        role text NOT NULL,
        CONSTRAINT pk_projectrole PRIMARY KEY (userid, project),
        CONSTRAINT ck_projectrole_role CHECK (role IN ('metrics', 'viewer', 'operator', 'editor')),
        CONSTRAINT fk_projectrole_userid
            FOREIGN KEY (userid) REFERENCES useraccount (userid) ON DELETE CASCADE,
        CONSTRAINT fk_projectrole_project
            FOREIGN KEY (project) REFERENCES project (name) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_projectrole_project ON projectrole (project)",
    """
    CREATE TABLE useridentity (
        issuer text NOT NULL,
        subject text NOT NULL,
        userid bigint NOT NULL,
        CONSTRAINT pk_useridentity PRIMARY KEY (issuer, subject),
        CONSTRAINT uq_useridentity_userid UNIQUE (userid),
        CONSTRAINT fk_useridentity_userid
            FOREIGN KEY (userid) REFERENCES useraccount (userid) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE usersession (
        sessionid bigint GENERATED ALWAYS AS IDENTITY,
        userid bigint NOT NULL,
        digest bytea NOT NULL,
        createdat timestamptz NOT NULL,
        seenat timestamptz NOT NULL,
        client text,
        CONSTRAINT pk_usersession PRIMARY KEY (sessionid),
        CONSTRAINT fk_usersession_userid
            FOREIGN KEY (userid) REFERENCES useraccount (userid) ON DELETE CASCADE,
        CONSTRAINT uq_usersession_digest UNIQUE (digest)
    )
    """,
    "CREATE INDEX ix_usersession_userid ON usersession (userid)",
    """
    CREATE TABLE signinlink (
        digest bytea NOT NULL,
        userid bigint NOT NULL,
        createdat timestamptz NOT NULL,
        expiresat timestamptz NOT NULL,
        CONSTRAINT pk_signinlink PRIMARY KEY (digest),
        CONSTRAINT fk_signinlink_userid
            FOREIGN KEY (userid) REFERENCES useraccount (userid) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_signinlink_userid ON signinlink (userid)",
    """
    CREATE TABLE signinattempt (
        digest bytea NOT NULL,
        createdat timestamptz NOT NULL,
        address text NOT NULL,
        back text NOT NULL,
        CONSTRAINT pk_signinattempt PRIMARY KEY (digest)
    )
    """,
    "CREATE INDEX ix_signinattempt_address ON signinattempt (address, createdat)",
    "CREATE INDEX ix_signinattempt_createdat ON signinattempt (createdat)",
    """
    CREATE TABLE signintry (
        tryid bigint GENERATED ALWAYS AS IDENTITY,
        at timestamptz NOT NULL,
        name text NOT NULL,
        address text NOT NULL,
        CONSTRAINT pk_signintry PRIMARY KEY (tryid)
    )
    """,
    "CREATE INDEX ix_signintry_address ON signintry (address, at)",
    "CREATE INDEX ix_signintry_at ON signintry (at)",
    "CREATE INDEX ix_signintry_name ON signintry (name, at)",
    """
    CREATE TABLE apikey (
        keyid bigint GENERATED ALWAYS AS IDENTITY,
        name text NOT NULL,
        role text NOT NULL,
        project text,
        prefix text NOT NULL,
        digest bytea NOT NULL,
        createdat timestamptz NOT NULL,
        createdby text,
        expiresat timestamptz,
        lastused timestamptz,
        revokedat timestamptz,
        CONSTRAINT pk_apikey PRIMARY KEY (keyid),
        CONSTRAINT ck_apikey_role CHECK (role IN ('metrics', 'viewer', 'operator', 'editor', 'admin')),
        CONSTRAINT fk_apikey_project FOREIGN KEY (project) REFERENCES project (name) ON DELETE CASCADE,
        CONSTRAINT uq_apikey_digest UNIQUE (digest)
    )
    """,
    "CREATE INDEX ix_apikey_project ON apikey (project) WHERE project IS NOT NULL",
)
# What is wrong, and who is told.
ALERTS = (
    """
    CREATE TABLE jobissue (
        issueid bigint GENERATED ALWAYS AS IDENTITY,
        jobid bigint NOT NULL,
        kind text NOT NULL,
        since timestamptz NOT NULL,
        seenat timestamptz NOT NULL,
        times bigint NOT NULL DEFAULT '1',
        firstfor timestamptz,
        lastfor timestamptz,
        logid bigint,
        error text,
        flapping boolean NOT NULL DEFAULT false,
        endedat timestamptz,
        ending text,
        ackedby text,
        ackedat timestamptz,
        ackeduntil timestamptz,
        remindat timestamptz,
        reminders integer NOT NULL DEFAULT 0,
        successes integer NOT NULL DEFAULT 0,
        CONSTRAINT pk_jobissue PRIMARY KEY (issueid),
        CONSTRAINT ck_jobissue_kind
            CHECK (kind IN ('failed', 'missed', 'late', 'stuck', 'silent', 'paused')),
        CONSTRAINT ck_jobissue_times CHECK (times >= 1),
        CONSTRAINT ck_jobissue_endedat CHECK ((endedat IS NULL) = (ending IS NULL)),
        CONSTRAINT ck_jobissue_ending
            CHECK (ending IN ('recovered', 'edited', 'paused', 'resumed', 'deleted', 'closed')),
        CONSTRAINT ck_jobissue_ackedat CHECK ((ackedby IS NULL) = (ackedat IS NULL)),
        CONSTRAINT ck_jobissue_ackeduntil CHECK (ackedat IS NOT NULL OR ackeduntil IS NULL),
        CONSTRAINT fk_jobissue_jobid FOREIGN KEY (jobid) REFERENCES job (jobid) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_jobissue_endedat ON jobissue (endedat) WHERE endedat IS NOT NULL",
    "CREATE INDEX ix_jobissue_flapping ON jobissue (endedat) WHERE flapping",
    "CREATE INDEX ix_jobissue_jobid ON jobissue (jobid, kind, endedat)",
    "CREATE UNIQUE INDEX ix_jobissue_open ON jobissue (jobid, kind) WHERE endedat IS NULL",
    "CREATE INDEX ix_jobissue_remindat ON jobissue (remindat) WHERE endedat IS NULL",
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
        CONSTRAINT ck_serviceissue_kind
            CHECK (kind IN ('database', 'replica', 'crowded', 'disk', 'export', 'transaction',
                'channel', 'restored'))
    )
    """,
    """
    CREATE TABLE alertchannel (
        channelid bigint GENERATED ALWAYS AS IDENTITY,
        name text NOT NULL,
        kind text NOT NULL,
        recipients text[] NOT NULL DEFAULT '{}',
        ciphertext bytea,
        origin text,
        createdat timestamptz NOT NULL,
        changedat timestamptz NOT NULL,
        leasetoken uuid,
        leaseholder text,
        leaseuntil timestamptz,
        openfrom timestamptz NOT NULL DEFAULT '-infinity',
        lastsent timestamptz,
        failures integer NOT NULL DEFAULT 0,
        failingsince timestamptz,
        error text,
        CONSTRAINT pk_alertchannel PRIMARY KEY (channelid),
        CONSTRAINT ck_alertchannel_kind
            CHECK (kind IN ('webhook', 'email', 'slack', 'discord', 'teams', 'telegram', 'ntfy',
                'pagerduty', 'opsgenie', 'apprise')),
        CONSTRAINT ck_alertchannel_recipients CHECK ((kind = 'email') = (cardinality(recipients) > 0)),
        CONSTRAINT ck_alertchannel_ciphertext CHECK ((kind = 'email') = (ciphertext IS NULL)),
        CONSTRAINT ck_alertchannel_origin CHECK ((ciphertext IS NULL) = (origin IS NULL)),
        CONSTRAINT ck_alertchannel_lease CHECK ((leasetoken IS NULL) = (leaseuntil IS NULL)),
        CONSTRAINT ck_alertchannel_failures
            CHECK ((failures > 0) = (num_nonnulls(failingsince, error) = 2)),
        CONSTRAINT uq_alertchannel_name UNIQUE (name)
    )
    """,
    """
    CREATE TABLE alertrule (
        ruleid bigint GENERATED ALWAYS AS IDENTITY,
        channelid bigint NOT NULL,
        project text,
        tag text,
        jobid bigint,
        kinds text[] NOT NULL,
        after integer NOT NULL DEFAULT 1,
        outof integer,
        service boolean NOT NULL DEFAULT false,
        reminds boolean NOT NULL DEFAULT true,
        recovers boolean NOT NULL DEFAULT true,
        createdat timestamptz NOT NULL,
        CONSTRAINT pk_alertrule PRIMARY KEY (ruleid),
        CONSTRAINT ck_alertrule_after CHECK (after >= 1),
        CONSTRAINT ck_alertrule_outof CHECK (outof >= after),
        CONSTRAINT ck_alertrule_kinds CHECK (cardinality(kinds) > 0 OR service),
        CONSTRAINT fk_alertrule_channelid
            FOREIGN KEY (channelid) REFERENCES alertchannel (channelid) ON DELETE CASCADE,
        CONSTRAINT fk_alertrule_project
            FOREIGN KEY (project) REFERENCES project (name) ON DELETE CASCADE,
        CONSTRAINT fk_alertrule_jobid FOREIGN KEY (jobid) REFERENCES job (jobid) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_alertrule_channelid ON alertrule (channelid)",
    "CREATE INDEX ix_alertrule_jobid ON alertrule (jobid) WHERE jobid IS NOT NULL",
    "CREATE INDEX ix_alertrule_project ON alertrule (project) WHERE project IS NOT NULL",
    """
    CREATE TABLE alertmute (
        muteid bigint GENERATED ALWAYS AS IDENTITY,
        project text,
        tag text,
        jobid bigint,
        since timestamptz NOT NULL,
        until timestamptz NOT NULL,
        cron text,
        timezone text NOT NULL DEFAULT 'UTC',
        minutes integer,
        reason text NOT NULL DEFAULT '',
        createdat timestamptz NOT NULL,
        createdby text,
        liftedat timestamptz,
        releasedto bigint NOT NULL DEFAULT '0',
        CONSTRAINT pk_alertmute PRIMARY KEY (muteid),
        CONSTRAINT ck_alertmute_until CHECK (until > since),
        CONSTRAINT ck_alertmute_cron CHECK ((cron IS NULL) = (minutes IS NULL)),
        CONSTRAINT fk_alertmute_project
            FOREIGN KEY (project) REFERENCES project (name) ON DELETE CASCADE,
        CONSTRAINT fk_alertmute_jobid FOREIGN KEY (jobid) REFERENCES job (jobid) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_alertmute_jobid ON alertmute (jobid) WHERE jobid IS NOT NULL",
    "CREATE INDEX ix_alertmute_project ON alertmute (project) WHERE project IS NOT NULL",
    """
    CREATE TABLE alert (
        alertid bigint GENERATED ALWAYS AS IDENTITY,
        channelid bigint NOT NULL,
        ruleid bigint,
        issueid bigint,
        serviceissueid bigint,
        jobid bigint,
        event text NOT NULL,
        number integer NOT NULL DEFAULT 0,
        at timestamptz NOT NULL,
        facts jsonb NOT NULL,
        holduntil timestamptz,
        messageid uuid,
        attempts integer NOT NULL DEFAULT 0,
        sentat timestamptz,
        deadat timestamptz,
        error text,
        CONSTRAINT pk_alert PRIMARY KEY (alertid),
        CONSTRAINT uq_alert_channelid_issueid_event_number UNIQUE (channelid, issueid, event, number),
        CONSTRAINT ck_alert_event CHECK (event IN ('opened', 'reminder', 'ended', 'test')),
        CONSTRAINT ck_alert_over CHECK (num_nonnulls(sentat, deadat) <= 1),
        CONSTRAINT ck_alert_sentat CHECK (sentat IS NULL OR messageid IS NOT NULL)
    )
    """,
    "CREATE INDEX ix_alert_at ON alert (at)",
    "CREATE INDEX ix_alert_dead ON alert (alertid) WHERE deadat IS NOT NULL",
    "CREATE INDEX ix_alert_issueid ON alert (issueid)",
    "CREATE INDEX ix_alert_sentat ON alert (channelid, sentat) WHERE sentat IS NOT NULL",
    (
        "CREATE UNIQUE INDEX ix_alert_serviceissueid ON alert (serviceissueid, channelid, event, number)"
        " WHERE serviceissueid IS NOT NULL"
    ),
    ("CREATE INDEX ix_alert_waiting ON alert (channelid, alertid) WHERE sentat IS NULL AND deadat IS NULL"),
)
# The service itself.
SERVICE = (
    """
    CREATE TABLE schemaversion (
        onlyrow boolean NOT NULL DEFAULT true,
        compatiblefrom integer NOT NULL,
        cells smallint,
        CONSTRAINT pk_schemaversion PRIMARY KEY (onlyrow),
        CONSTRAINT ck_schemaversion_onlyrow CHECK (onlyrow)
    )
    """,
    """
    CREATE TABLE replica (
        name text NOT NULL,
        version integer NOT NULL,
        seenat timestamptz NOT NULL,
        CONSTRAINT pk_replica PRIMARY KEY (name)
    )
    """,
    """
    CREATE TABLE installation (
        onlyrow boolean NOT NULL DEFAULT true,
        mark text,
        writer text,
        restoredat timestamptz,
        lastknown timestamptz,
        confirmedat timestamptz,
        zonerules text,
        CONSTRAINT pk_installation PRIMARY KEY (onlyrow),
        CONSTRAINT ck_installation_onlyrow CHECK (onlyrow),
        CONSTRAINT ck_installation_mark CHECK ((mark IS NULL) = (writer IS NULL)),
        CONSTRAINT ck_installation_restoredat
            CHECK (restoredat IS NOT NULL OR num_nonnulls(lastknown, confirmedat) = 0)
    )
    """,
    """
    CREATE TABLE idempotencykey (
        key text NOT NULL,
        digest bytea NOT NULL,
        at timestamptz NOT NULL,
        answer text NOT NULL,
        CONSTRAINT pk_idempotencykey PRIMARY KEY (key)
    )
    """,
    "CREATE INDEX ix_idempotencykey_at ON idempotencykey (at)",
)
#: What is logged has a part for live rows, and one for each stretch of history. Live rows change at each run:
#: half a page is left free for that, and what is dead is cleaned up early.
PARTITIONED = ("joblog", "logattempt", "logline")
LIVE = (
    *(
        f"CREATE TABLE {table}_live PARTITION OF {table} FOR VALUES FROM ('infinity') TO (MAXVALUE)"
        " WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,"
        " autovacuum_vacuum_cost_delay = 0)"
        for table in PARTITIONED
    ),
    "ALTER TABLE joblog_live ADD CONSTRAINT fk_joblog_live_jobid FOREIGN KEY (jobid) REFERENCES job (jobid)",
    (
        "CREATE INDEX ix_joblog_live_calling ON joblog_live (host) WHERE status = 'running' AND"
        " kind = 'http' AND acceptedat IS NULL"
    ),
    (
        "CREATE INDEX ix_joblog_live_calls ON joblog_live (nextrun, logid) WHERE status = 'pending' AND"
        " kind = 'http'"
    ),
    "CREATE INDEX ix_joblog_live_failing ON joblog_live (jobid) WHERE laststatus = 'failed'",
    "CREATE INDEX ix_joblog_live_finished ON joblog_live (logid) WHERE status = 'finished'",
    (
        "CREATE INDEX ix_joblog_live_hosts ON joblog_live (host, nextrun, logid) WHERE status = 'pending'"
        " AND kind = 'http'"
    ),
    (
        "CREATE INDEX ix_joblog_live_passes ON joblog_live (nextrun, logid) WHERE status = 'pending' AND"
        " kind <> 'http'"
    ),
    ("CREATE INDEX ix_joblog_live_retry ON joblog_live (jobid) WHERE status = 'pending' AND attempt > 1"),
    "CREATE INDEX ix_joblog_live_running ON joblog_live (jobid) WHERE status = 'running'",
    (
        "CREATE INDEX ix_joblog_live_waiting ON joblog_live (jobid) WHERE status = 'pending' AND"
        " following IS NOT NULL"
    ),
    (
        "CREATE UNIQUE INDEX uq_joblog_live_nextrun ON joblog_live (jobid) WHERE cause = 'schedule' AND"
        " (status = 'pending' AND attempt = 1 OR following IS NOT NULL)"
    ),
)
#: This week and the next; all others are added by the service.
PARTS = """
    DO $$
    DECLARE
        monday date := date_trunc('week', now() AT TIME ZONE 'UTC')::date;
        first date;
        name text;
    BEGIN
        INSERT INTO history (firstday, lastday) VALUES (monday, monday + 13);
        FOREACH first IN ARRAY ARRAY[monday, monday + 7] LOOP
            FOREACH name IN ARRAY ARRAY['joblog', 'logattempt', 'logline'] LOOP
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                               name || '_' || to_char(first, 'YYYYMMDD'), name, first, first + 7);
            END LOOP;
        END LOOP;
    END $$
"""
#: Makes what a search looks for a text in: a column of each job.
WORDS = r"""
    CREATE OR REPLACE FUNCTION jobwords(jobname text, host text, tags text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT lower(concat_ws(E'\n', jobname, host, array_to_string(tags, E'\n'))) $$
"""
#: Its index. Without the extension, where that may not be created, a search looks at all jobs.
SEARCH = (
    """
    DO $$ BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
    EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
        RAISE NOTICE 'A search for jobs is slower without the extension pg_trgm: %', SQLERRM;
    END $$
    """,
    """
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') THEN
            CREATE INDEX ix_job_words ON job USING gin (words gin_trgm_ops);
        END IF;
    END $$
    """,
)
#: The rows that are always there. No older code may write.
ROWS = (
    f"INSERT INTO schemaversion (compatiblefrom) VALUES ({int(revision)})",
    "INSERT INTO installation DEFAULT VALUES",
    "INSERT INTO project (name, createdat) VALUES ('default', now())",
)


def upgrade() -> None:
    for name, values in TYPES.items():
        op.execute(f"CREATE TYPE {name} AS ENUM ({values})")
    op.execute("CREATE SEQUENCE calendarversion")
    for statement in (WORDS, *RUNS, *SHARED, *PEOPLE, *ALERTS, *SERVICE, *LIVE, *SEARCH, PARTS, *ROWS):
        op.execute(statement)


def downgrade() -> None:
    """Everything goes, but for the extension, which others may use by now."""
    found = text(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = CAST(current_schema() AS regnamespace) AND relname <> 'alembic_version'"
    )
    names = ", ".join(op.get_bind().execute(found).scalars())
    op.execute(f"DROP TABLE {names} CASCADE")
    op.execute("DROP FUNCTION jobwords")
    op.execute("DROP SEQUENCE calendarversion")
    for name in TYPES:
        op.execute(f"DROP TYPE {name}")
