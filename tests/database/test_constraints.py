"""The invariants that the database itself keeps."""

import re
from datetime import timedelta
from enum import StrEnum

import pytest
from sqlalchemy.exc import IntegrityError

from scheduler_api.actors import ActorKind
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.runs.attempts import AttemptOutcome
from scheduler_api.contracts.runs.logs import LogCause, LogKind, LogStatus
from scheduler_api.database.engine import Database
from scheduler_api.schedule import Reason
from scheduler_api.targets.judgement import Failure
from tests.factories import NOON, add_job, execute, scalar

INSERT = "INSERT INTO joblog (jobid, scheduledfor, nextrun) VALUES (:jobid, :at, :at)"


@pytest.mark.parametrize(
    "change",
    [
        "jobname = ' a  '",
        "interval = 0",
        "interval = NULL",
        "repeat = false",
        "misfire = 'maybe'",
        "grace = 0",
    ],
)
async def test_no_impossible_job(database: Database, change: str) -> None:
    await add_job(database, interval=60)
    with pytest.raises(IntegrityError):
        await execute(database, f"UPDATE job SET {change}")


@pytest.mark.parametrize(
    "change",
    [
        "status = 'finished'",
        "nextrun = NULL",
        "status = 'finished', finishedat = now()",
        "status = 'skipped', nextrun = NULL, finishedat = now()",
        "status = 'failed', nextrun = NULL, finishedat = now()",
        "reason = 'misfire'",
        "status = 'skipped', nextrun = NULL, finishedat = now(), reason = 'mood'",
        "attempt = 0",
        "missed = 0",
        "missed = 1",
        "through = scheduledfor",
        "day = '2030-01-31'",
        "parentlogid = 1",
    ],
)
async def test_no_impossible_log(database: Database, change: str) -> None:
    await add_job(database)
    with pytest.raises(IntegrityError):
        await execute(database, f"UPDATE joblog SET {change}")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ck_joblog_known_reason", Reason),
        ("ck_logattempt_outcome", AttemptOutcome),
        ("ck_logattempt_failure", Failure),
        ("ck_auditevent_action", ChangeAction),
        ("ck_auditevent_actor", ActorKind),
    ],
)
async def test_the_tables_hold_what_answers_can_say(
    database: Database, name: str, values: type[StrEnum]
) -> None:
    """A value that is none of an enum would make the answers that hold it a 500."""
    find = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name AND conparentid = 0"
    definition = str(await scalar(database, f"{find} LIMIT 1", name=name))
    assert set(re.findall(r"'([\w-]+)'", definition)) == set(values)


@pytest.mark.parametrize(
    ("name", "values"), [("logstatus", LogStatus), ("logcause", LogCause), ("runkind", LogKind)]
)
async def test_the_types_hold_what_answers_can_say(
    database: Database, name: str, values: type[StrEnum]
) -> None:
    kept = await scalar(
        database, f"SELECT string_agg(v, ' ') FROM unnest(enum_range(NULL::{name})::text[]) v"
    )
    assert set(str(kept).split()) == set(values)


async def test_an_occurrence_has_one_row(database: Database) -> None:
    jobid = await add_job(database)
    await execute(database, "UPDATE joblog SET status = 'finished', nextrun = NULL, finishedat = now()")
    with pytest.raises(
        IntegrityError, match=r"joblog_live_jobid_scheduledfor_parentlogid_cause_day(_cell)?_key"
    ):
        await execute(database, INSERT, jobid=jobid, at=NOON)


async def test_a_job_has_one_promise(database: Database) -> None:
    jobid = await add_job(database, interval=60)
    with pytest.raises(IntegrityError, match="uq_joblog_live_nextrun"):
        await execute(database, INSERT, jobid=jobid, at=NOON + timedelta(minutes=1))


async def test_a_log_belongs_to_a_job(database: Database) -> None:
    with pytest.raises(IntegrityError, match="fk_joblog_live_jobid"):
        await execute(database, INSERT, jobid=77, at=NOON)
