"""Statements that notice issues of jobs, and their ends, each with what channels are to be told of it.

An issue is changed under its job's lock. What is told is written by the same statement, with what the job and
the issue were then: it is true whatever becomes of them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_api.contracts.alerts.issues import IssueEnding, JobIssueKind
from scheduler_api.database.alerts.mutes import HOLD
from scheduler_api.database.plans import planned_for
from scheduler_api.database.statements import Session, Statement

#: Nobody is reminded before; and again after each further day.
REMIND_FIRST, REMIND_AGAIN = timedelta(hours=6), timedelta(days=1)
#: After so many issues of a kind within an hour, the next one tells that this goes on, and those after it
#: nothing, until none has come for half an hour.
FLAPS, FLAPPING_WITHIN, CALM_AFTER = 3, timedelta(hours=1), timedelta(minutes=30)
#: What ended before is looked at no more.
LONG_AGO = timedelta(days=7)
#: Characters of an error that are kept.
MAX_ERROR = 2000

#: The job of each issue that is `told`, looked up by its id: whatever was counted when the plan was made, not
#: all jobs are read for it.
_ITS_JOB = "LATERAL (SELECT * FROM job WHERE job.jobid = told.jobid OFFSET 0) AS job"

#: What an alert says of an issue, whose columns are `told`, and of its job.
_FACTS = """
    jsonb_build_object(
        'jobname', job.jobname, 'project', job.project, 'tags', job.tags, 'timezone', job.timezone,
        'host', job.host, 'owner', job.owner, 'runbook', job.runbook, 'kind', told.kind, 'since', told.since,
        'times', told.times, 'firstfor', told.firstfor, 'lastfor', told.lastfor, 'logid', told.logid,
        'error', told.error, 'ending', told.ending, 'endedat', told.endedat, 'flapping', told.flapping
    )
"""
#: Whether a rule is about an issue that is noticed of a job.
COVERS = """
    (rule.project IS NULL OR rule.project = job.project) AND (rule.tag IS NULL OR rule.tag = ANY(job.tags))
    AND (rule.jobid IS NULL OR rule.jobid = job.jobid)
"""
#: How many of the newest runs of a job have failed, of as many as a rule looks at.
FAILED_OF = """
    (SELECT count(*) FILTER (WHERE status = 'failed') FROM (
        SELECT status FROM joblog
        WHERE joblog.jobid = told.jobid AND status IN ('finished', 'failed') AND finishedat <= {until}
        ORDER BY scheduledfor DESC LIMIT rule.outof
    ) AS newest)
"""
#: Whether as many have failed as it takes, at an instant; of other kinds, one is enough.
IS_ENOUGH = f"""
    CASE WHEN told.kind <> 'failed' THEN true
         WHEN rule.outof IS NULL THEN told.times >= rule.after
         ELSE {FAILED_OF} >= rule.after END
"""
#: Whether what was noticed just now makes it enough. A channel is told of an issue once.
_BECOMES_ENOUGH = f"""
    CASE WHEN told.kind <> 'failed' THEN told.times = more
         WHEN rule.outof IS NULL THEN told.times - more < rule.after AND told.times >= rule.after
         ELSE {FAILED_OF.format(until=":now")} >= rule.after END
"""
#: How many issues of a job, whose row is changed, have begun or ended, as `changed` has it. By a join, each
#: job might be compared with each.
_CHANGE = "CAST((SELECT jsonb_object_agg(jobid, count) FROM changed) ->> CAST(jobid AS text) AS int)"
NOTICE = Statement(
    f"""
    WITH given AS (
        SELECT * FROM unnest(
            CAST(:jobids AS bigint[]), CAST(:kinds AS text[]), CAST(:counts AS bigint[]),
            CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[]), CAST(:logids AS bigint[]),
            CAST(:errors AS text[])
        ) AS given (jobid, kind, more, first, last, log, why)
    ), told AS (
        INSERT INTO jobissue AS known
            (jobid, kind, since, seenat, times, firstfor, lastfor, logid, error, remindat, flapping)
        SELECT jobid, kind, :now, :now, more, first, last, log, why, :remindat, (
            SELECT count(*) >= {FLAPS} FROM (
                -- By the index of jobs, and not of all that ended, of which there may seem to be none.
                SELECT ending FROM jobissue AS past
                WHERE (past.jobid, past.kind, past.endedat) > (given.jobid, given.kind, :flapsince)
                  AND (past.jobid, past.kind) <= (given.jobid, given.kind)
                ORDER BY past.jobid, past.kind, past.endedat OFFSET 0
            ) AS past WHERE ending = 'recovered'
        ) FROM given ORDER BY jobid, kind
        ON CONFLICT (jobid, kind) WHERE endedat IS NULL DO UPDATE SET
            times = known.times + excluded.times, seenat = excluded.seenat, error = excluded.error,
            successes = 0,
            lastfor = greatest(known.lastfor, excluded.lastfor), logid = coalesce(excluded.logid, known.logid)
        RETURNING known.*
    ), changed AS (
        SELECT jobid, count(*) AS count FROM told JOIN given USING (jobid, kind)
        WHERE told.times = more GROUP BY jobid
    ), counted AS (
        UPDATE job SET openissues = openissues + {_CHANGE}
        WHERE jobid = ANY(ARRAY(SELECT jobid FROM changed))
    )
    INSERT INTO alert (channelid, ruleid, issueid, jobid, event, at, facts, holduntil)
    SELECT DISTINCT ON (told.issueid, rule.channelid)
           rule.channelid, rule.ruleid, told.issueid, told.jobid, 'opened', :now, {_FACTS}, {HOLD}
    FROM told JOIN given USING (jobid, kind) CROSS JOIN {_ITS_JOB}
    JOIN alertrule AS rule ON told.kind = ANY(rule.kinds) AND {COVERS}
    WHERE {_BECOMES_ENOUGH}
      AND NOT (told.flapping AND EXISTS (
          -- This channel knows that it flaps, and was not told that it is stable.
          SELECT FROM alert AS heard JOIN jobissue AS past USING (issueid)
          WHERE past.jobid = told.jobid AND past.kind = told.kind AND past.flapping
            AND past.issueid <> told.issueid AND heard.channelid = rule.channelid AND heard.event = 'opened'
            AND heard.deadat IS NULL AND heard.at > :day AND NOT EXISTS (
                SELECT FROM alert AS stable WHERE stable.channelid = heard.channelid
                  AND stable.issueid = heard.issueid AND stable.event = 'ended'
            )
      ))
    ORDER BY told.issueid, rule.channelid, rule.ruleid
    ON CONFLICT DO NOTHING
    """
)
#: Those who were told that an issue is open.
_TOLD = "alert AS opened ON opened.issueid = told.issueid AND opened.event = 'opened'"
END = Statement(
    f"""
    WITH given AS (
        SELECT * FROM unnest(CAST(:jobids AS bigint[]), CAST(:begans AS timestamptz[]))
            AS given (jobid, began)
    ), over AS (
        SELECT issueid, jobissue.kind <> 'failed' OR :ending <> 'recovered' OR successes + 1 >= recoverafter
                   AS is_over
        FROM given JOIN jobissue USING (jobid)
        CROSS JOIN LATERAL (SELECT recoverafter FROM job WHERE job.jobid = given.jobid OFFSET 0) AS job
        WHERE endedat IS NULL AND jobissue.kind = ANY(CAST(:kinds AS text[]))
          -- What made up for occurrences that were missed does not end that: the next one does.
          AND (jobissue.kind <> 'missed' OR began IS NULL OR seenat < began OR seenat > :now)
    ), told AS (
        UPDATE jobissue SET endedat = :now, ending = :ending FROM over
        WHERE jobissue.issueid = over.issueid AND is_over RETURNING jobissue.*
    ), nearly AS (
        UPDATE jobissue SET successes = successes + 1 FROM over
        WHERE jobissue.issueid = over.issueid AND NOT is_over
    ), changed AS (
        SELECT jobid, count(*) AS count FROM told GROUP BY jobid
    ), counted AS (
        -- Whoever counts wrong must not keep others from a pause.
        UPDATE job SET openissues = greatest(openissues - {_CHANGE}, 0)
        WHERE jobid = ANY(ARRAY(SELECT jobid FROM changed))
    ), untold AS (
        -- What came and went while it was held back is told to nobody.
        UPDATE alert SET deadat = :now, error = 'It was over before the mute ended.' FROM told
        WHERE alert.issueid = told.issueid AND sentat IS NULL AND deadat IS NULL AND holduntil > :now
    )
    INSERT INTO alert (channelid, ruleid, issueid, jobid, event, at, facts, holduntil)
    SELECT opened.channelid, opened.ruleid, told.issueid, told.jobid, 'ended', :now, {_FACTS}, {HOLD}
    FROM told CROSS JOIN {_ITS_JOB} JOIN {_TOLD}
    LEFT JOIN alertrule AS rule USING (ruleid)
    WHERE coalesce(rule.recovers, true) AND NOT told.flapping
      AND NOT (opened.sentat IS NULL AND opened.deadat IS NULL AND coalesce(opened.holduntil > :now, false))
    ON CONFLICT DO NOTHING
    """
)
# What comes and goes too often, and then stays, is an issue like any other. Those whose jobs somebody else
# holds are left for the next time.
STEADY = Statement(
    f"""
    WITH stays AS (
        SELECT issueid FROM jobissue JOIN job USING (jobid)
        WHERE endedat IS NULL AND flapping AND since <= :calm
        LIMIT :limit FOR UPDATE OF jobissue SKIP LOCKED FOR NO KEY UPDATE OF job SKIP LOCKED
    ), told AS (
        UPDATE jobissue SET flapping = false FROM stays
        WHERE jobissue.issueid = stays.issueid RETURNING jobissue.*
    )
    -- The first of them was told already: that it flaps.
    INSERT INTO alert (channelid, ruleid, issueid, jobid, event, number, at, facts, holduntil)
    SELECT DISTINCT ON (told.issueid, rule.channelid)
           rule.channelid, rule.ruleid, told.issueid, told.jobid, 'opened', 1, :now, {_FACTS}, {HOLD}
    FROM told CROSS JOIN {_ITS_JOB}
    JOIN alertrule AS rule ON told.kind = ANY(rule.kinds) AND {COVERS}
    WHERE {IS_ENOUGH.format(until=":now")}
    ORDER BY told.issueid, rule.channelid, rule.ruleid
    ON CONFLICT DO NOTHING
    """
)
# What has come and gone too often is over once none has come for a while. Those hear of it who were told.
CALM = Statement(
    f"""
    INSERT INTO alert (channelid, ruleid, issueid, jobid, event, at, facts, holduntil)
    SELECT opened.channelid, opened.ruleid, told.issueid, told.jobid, 'ended', :now, {_FACTS}, {HOLD}
    FROM jobissue AS told CROSS JOIN {_ITS_JOB} JOIN {_TOLD}
    LEFT JOIN alertrule AS rule USING (ruleid)
    WHERE told.flapping AND told.endedat > :long AND told.endedat <= :calm AND coalesce(rule.recovers, true)
      AND opened.deadat IS NULL AND NOT EXISTS (
          SELECT FROM jobissue AS later
          WHERE later.jobid = told.jobid AND later.kind = told.kind
            AND (later.endedat IS NULL OR later.endedat > :calm)
      )
    ON CONFLICT DO NOTHING
    """
)
# Those whose jobs somebody else holds are left for the next time. A transaction that began a moment after
# this one may have reminded of it.
REMIND = Statement(
    f"""
    WITH due AS (
        SELECT issueid FROM jobissue JOIN job USING (jobid)
        WHERE endedat IS NULL
          AND (remindat <= :now OR remindat > CAST(:again AS timestamptz) + interval '1 minute')
          AND (ackedat IS NULL OR ackeduntil <= :now)
          -- Nothing more is to come of a job that is over.
          AND (active OR pausedat IS NOT NULL)
        ORDER BY remindat LIMIT :limit
        FOR UPDATE OF jobissue SKIP LOCKED FOR NO KEY UPDATE OF job SKIP LOCKED
    ), told AS (
        UPDATE jobissue SET remindat = :again, reminders = reminders + 1 FROM due
        WHERE jobissue.issueid = due.issueid RETURNING jobissue.*
    )
    INSERT INTO alert (channelid, ruleid, issueid, jobid, event, number, at, facts, holduntil)
    SELECT opened.channelid, opened.ruleid, told.issueid, told.jobid, 'reminder', told.reminders, :now,
           {_FACTS}, {HOLD}
    FROM told CROSS JOIN {_ITS_JOB} JOIN {_TOLD}
    JOIN alertrule AS rule USING (ruleid) WHERE rule.reminds
    ON CONFLICT DO NOTHING
    """
)


class Noticed(NamedTuple):
    """Something that is wrong with a job."""

    jobid: int
    kind: JobIssueKind
    times: int = 1
    """How many runs or occurrences it is about."""
    first: datetime | None = None
    """The first of these occurrences."""
    last: datetime | None = None
    """The last one."""
    logid: int | None = None
    error: str | None = None

    def and_then(self, other: "Noticed") -> "Noticed":
        """The same with what was noticed of the same job and kind next."""
        return other._replace(
            times=self.times + other.times, first=self.first, logid=other.logid or self.logid
        )


async def open_or_extend(session: Session, now: datetime, noticed: Sequence[Noticed]) -> None:
    """Write down what is wrong with jobs that are locked, once a job and kind, and who is to be told."""
    values = {
        "jobids": [one.jobid for one in noticed],
        "kinds": [one.kind for one in noticed],
        "counts": [one.times for one in noticed],
        "firsts": [one.first for one in noticed],
        "lasts": [one.last for one in noticed],
        "logids": [one.logid for one in noticed],
        "errors": [one.error and one.error[:MAX_ERROR] for one in noticed],
    }
    times = {"remindat": now + REMIND_FIRST, "flapsince": now - FLAPPING_WITHIN, "day": now - REMIND_AGAIN}
    await session.all(NOTICE, now=now, **times, **values)


async def end_open(
    session: Session,
    now: datetime,
    ending: IssueEnding,
    kinds: Sequence[JobIssueKind],
    jobs: Mapping[int, datetime | None],
) -> None:
    """End the open issues of these kinds of jobs that are locked, and tell those who know of them.

    Each job comes with when the run began that proves it, if one does: a run does not end what was missed
    before it began.
    """
    values = {"jobids": list(jobs), "begans": list(jobs.values()), "kinds": list(kinds)}
    async with planned_for(session, len(jobs), "jobissue"):
        await session.all(END, now=now, ending=ending, **values)


async def calm(session: Session, now: datetime, limit: int) -> None:
    """Tell that what has come and gone too often is gone for good, or has come to stay."""
    calm = now - CALM_AFTER
    await session.all(STEADY, now=now, calm=calm, limit=limit)
    await session.all(CALM, now=now, calm=calm, long=calm - LONG_AGO)


async def remind(session: Session, now: datetime, limit: int) -> None:
    """Remind of up to `limit` issues that have been open for long, whoever was told of them."""
    await session.all(REMIND, now=now, again=now + REMIND_AGAIN, limit=limit)
