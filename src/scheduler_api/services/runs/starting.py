"""Claimed calls: marked as running, or settled where their schedules and policies let them not run."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
import structlog

from scheduler_api.computing import in_turns
from scheduler_api.database.runs import claims, passes
from scheduler_api.database.runs.claims import DueCall, Start, StartRules
from scheduler_api.database.runs.passes import JobRules, Outcome
from scheduler_api.database.singly import Tried, one_by_one
from scheduler_api.database.statements import Session
from scheduler_api.schedule import Status
from scheduler_api.services.jobs import chains, locking
from scheduler_api.services.runs import repairs
from scheduler_api.services.runs.passes import PLANNING, Fate, fate_of

log = structlog.get_logger(__name__)

Known = Mapping[int, StartRules]


class Holder(NamedTuple):
    """Who holds what it starts, and for how long."""

    replica: str
    lease: timedelta


class Begun(NamedTuple):
    """What became of claimed calls."""

    started: dict[int, asyncpg.Record]
    """(leasetoken, runs, target) of those that run, by logid."""
    refused: int
    """How many were settled without a call."""
    left: bool = False
    """Whether there was no time to decide on all."""


async def begin(
    session: Session,
    now: datetime,
    holder: Holder,
    entries: Sequence[DueCall],
    known: Known,
    *,
    singly: bool,
) -> Begun:
    """Let claimed calls run, each with its attempt written down, or settle those that may not."""
    if not entries:
        return Begun({}, 0)
    fates = await _fates(session, now, entries, known)
    decided = entries[: len(fates)]
    work = _begin_singly if singly else _begin
    begun = await work(session, now, holder, decided, known, fates)
    return begun._replace(left=len(decided) < len(entries))


async def _begin(
    session: Session,
    now: datetime,
    holder: Holder,
    entries: Sequence[DueCall],
    known: Known,
    fates: Mapping[int, Fate],
) -> Begun:
    mine = [fates[entry.logid] for entry in entries]
    conflicts: list[int] = []
    refused = [fate.outcome for fate in mine if fate.outcome.status != Status.FINISHED]
    if refused:
        conflicts += await passes.settle(session, now, refused)
        over = [outcome.logid for outcome in refused if known[outcome.logid].followed]
        await chains.fire(session, now, over)
    await locking.skip(session, now, [row for fate in mine for row in fate.blocked])
    starts = [
        _start(entry, fate, known[entry.logid])
        for entry, fate in zip(entries, mine, strict=True)
        if fate.outcome.status == Status.FINISHED
    ]
    started = await claims.start(session, now, holder.replica, holder.lease, starts) if starts else {}
    conflicts += [row["jobid"] for row in started.values() if row["conflict"]]
    await repairs.go_on(session, now, conflicts)
    return Begun(started, len(refused))


async def _begin_singly(
    session: Session,
    now: datetime,
    holder: Holder,
    entries: Sequence[DueCall],
    known: Known,
    fates: Mapping[int, Fate],
) -> Begun:
    """Each call by itself, so that one the database refuses does not hold back the others.

    What somebody else holds stays pending.
    """

    async def begin_one(one: tuple[DueCall, Fate]) -> Begun:
        entry, fate = one
        return await _begin(session, now, holder, [entry], known, {entry.logid: fate})

    tried = await one_by_one(session, [(entry, fates[entry.logid]) for entry in entries], begin_one)
    failures = [_unstartable(one, known) for one in tried if one.refusal is not None and not one.is_held]
    last = await one_by_one(session, failures, begin_one) if failures else []
    begun = [one.result for one in (*tried, *last) if one.result is not None]
    started = {logid: row for part in begun for logid, row in part.started.items()}
    return Begun(started, sum(part.refused for part in begun))


def _unstartable(tried: Tried[tuple[DueCall, Fate], Begun], known: Known) -> tuple[DueCall, Fate]:
    """The run fails, and what it stood for stays accounted for."""
    entry, _ = tried.item
    log.error("a call does not start", logid=entry.logid, error=tried.refusal)
    job, error = known[entry.logid], f"The call could not be started: {tried.refusal}"
    return entry, Fate(Outcome(entry.logid, Status.FAILED, job.missed, job.through, error=error))


async def _fates(
    session: Session, now: datetime, entries: Sequence[DueCall], known: Known
) -> dict[int, Fate]:
    """Whether each log may run, by its schedule and policies; those decide once, at the first attempt.

    Those that there was no time for are left out: the first so many are decided.
    """
    refined = [entry.logid for entry in entries if entry.attempt == 1 and known[entry.logid].refined]
    refinements = await passes.refinements_of(session, refined) if refined else {}

    def decide(entry: DueCall) -> Fate:
        if entry.attempt > 1:
            return Fate(Outcome(entry.logid, Status.FINISHED))
        job = known[entry.logid]
        rules = JobRules(entry.jobid, job.interval, job.misfire, job.grace, job.refined, job.followed)
        return fate_of(entry, rules, refinements.get(entry.logid), now)

    decided = await in_turns(decide, entries, PLANNING)
    return {entry.logid: fate for entry, fate in zip(entries, decided, strict=False)}


def _start(entry: DueCall, fate: Fate, known: StartRules) -> Start:
    first = entry.attempt == 1 and entry.cause == "schedule"
    if not first:
        return Start(entry.logid, False)
    outcome = fate.outcome
    start = Start(entry.logid, True, 1, outcome.missed, outcome.through)
    if known.overlap:
        return start._replace(next=outcome.next, tried=outcome.tried or outcome.next)
    return start._replace(following=outcome.next)
