"""Claimed calls: marked as running, or settled where their schedules and policies let them not run."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from scheduler_api.database.runs import claims
from scheduler_api.database.runs.claims import Started, Terms
from scheduler_api.database.runs.due import DueLog, JobRules
from scheduler_api.database.runs.results import Result
from scheduler_api.database.singly import as_a_whole_or_singly
from scheduler_api.database.statements import Session
from scheduler_api.schedule import Status
from scheduler_api.services.alerts import noticing
from scheduler_api.services.jobs import skipping
from scheduler_api.services.runs import repairs
from scheduler_api.services.runs.judging import judge, refused
from scheduler_api.services.runs.settling import Judged, measure_starts, missed_in, settle


class Begun(NamedTuple):
    """What became of claimed calls."""

    started: dict[int, Started]
    """Those that run, by logid."""
    refused: int
    """How many were settled without a call."""
    left: bool = False
    """Whether there was no time to decide on all."""


async def begin(
    session: Session,
    now: datetime,
    terms: Terms,
    logs: Sequence[DueLog],
    rules: Mapping[int, JobRules],
    *,
    singly: bool,
) -> Begun:
    """Let claimed calls run, each with its attempt written down, or settle those that may not.

    What somebody else holds stays pending.
    """
    if not logs:
        return Begun({}, 0)
    judged = [_starting(one) for one in await judge(session, now, logs, rules)]
    started: dict[int, Started] = {}

    async def work(part: Sequence[Judged]) -> None:
        started.update(await _begin(session, now, terms, part))

    instead = partial(refused, "call could not be started")
    done, _ = await as_a_whole_or_singly(session, judged, work, instead, singly=singly)
    return Begun(started, sum(one.is_over for one in done), len(judged) < len(logs))


async def _begin(
    session: Session, now: datetime, terms: Terms, judged: Sequence[Judged]
) -> dict[int, Started]:
    await settle(session, now, [one for one in judged if one.is_over])
    starts = [one for one in judged if not one.is_over]
    await skipping.skip(session, now, [row for one in starts for row in one.beside])
    await noticing.notice(session, now, missed_in(starts))
    results = [one.result for one in starts if isinstance(one.result, Result)]
    looking = any(one.may_meet_a_row for one in starts)
    started = await claims.start(session, now, terms, results, looking=looking) if results else {}
    begun = [one for one in starts if one.log.logid in started]
    session.when_committed(partial(measure_starts, now, begun))
    await repairs.go_on(session, now, [run.jobid for run in started.values() if run.conflict])
    return started


def _starting(one: Judged) -> Judged:
    """What would have ended at once, were it plain, begins."""
    result = one.result
    if not isinstance(result, Result) or result.status != Status.FINISHED:
        return one
    # Only the schedule's own runs stand for occurrences.
    missed = result.missed if one.log.cause == "schedule" else None
    result = result._replace(status="running", missed=missed)
    if not one.rules.overlap:
        result = result._replace(next=None, tried=None, following=result.next)
    return one._replace(result=result)
