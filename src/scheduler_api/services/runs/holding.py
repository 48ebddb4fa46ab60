"""Runs that are held under leases: settled when the call has ended, renewed, taken over."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

import structlog

from scheduler_api.computing import in_turns
from scheduler_api.database.runs import leases, standing
from scheduler_api.database.runs import settling as statements
from scheduler_api.database.runs.leases import LeasedLog
from scheduler_api.database.runs.results import Acceptance, Result
from scheduler_api.database.singly import Tried, as_a_whole_or_singly, one_by_one
from scheduler_api.database.statements import Session
from scheduler_api.services.runs import breakers
from scheduler_api.services.runs.ends import Ended, judge, seconds_to, target_in
from scheduler_api.services.runs.settling import Judged, settle
from scheduler_api.targets import Failure

log = structlog.get_logger(__name__)

#: Expired leases that are looked at, at once.
MAX_EXPIRED = 500

#: A running log whose row is locked, and what came of its attempt.
HeldEnd = tuple[LeasedLog, Ended]


class Renewed(NamedTuple):
    """What became of leases that were to be renewed, by token; those that are gone are in neither."""

    renewed: set[UUID]
    locked: set[UUID]
    """Somebody else holds the row, so that nobody takes it over either."""


class Batch(NamedTuple):
    """What became of ends that were to be settled; those that count no more are in neither."""

    settled: dict[UUID, str]
    """The status of each log, by token."""
    held: frozenset[UUID]
    """Somebody else holds the row of the log, or of its job: to be retried."""
    next: float | None = None
    """Seconds until the first run is due that follows: another attempt, or a job's next run; None: none."""


async def settle_ends(
    session: Session,
    now: datetime,
    ended: Sequence[Ended],
    failing: frozenset[str],
    *,
    singly: bool = False,
) -> Batch:
    """Write down what came of attempts that are still held under their tokens.

    A log may be among them twice: as a run that was taken away meanwhile, and as the one that it was
    given to. `failing` are the hosts that had failures on their account. With `singly`, one that the
    database refuses fails alone, and not all of them.
    """
    shown = [(end.logid, end.token) for end in ended]
    rows = await leases.fence(session, shown)
    for log in await _held(session, list(rows.values())):
        assert log.leasetoken is not None
        del rows[log.leasetoken]
    ready = [(rows[end.token], end) for end in ended if end.token in rows]
    held = await leases.current(session, [(logid, token) for logid, token in shown if token not in rows])
    judged, done, left = await _settle_held(session, now, ready, singly=singly)
    held |= {end.token for _, end in left}
    if singly:
        await one_by_one(session, [done], lambda pairs: breakers.judge(session, now, pairs, failing))
    else:
        await breakers.judge(session, now, done, failing)
    statuses = {end.token: judged[log.logid].result.status for log, end in done}
    following = [at for one in judged.values() if (at := _follows(one)) is not None]
    return Batch(statuses, frozenset(held), seconds_to(min(following, default=None), now))


def _follows(judged: Judged) -> datetime | None:
    result = judged.result
    retry = result.retry if isinstance(result, Result) else None
    return retry or result.tried


async def settle_held(session: Session, now: datetime, log: LeasedLog, end: Ended) -> str:
    """Settle one log whose row is locked; its status."""
    judged, *_ = await _settle_held(session, now, [(log, end)], singly=False)
    return judged[log.logid].result.status


async def renew(
    session: Session, now: datetime, held: Sequence[tuple[int, UUID]], lease: timedelta
) -> Renewed:
    """Hold runs (by logid and token) for a further lease, but for those that somebody else has locked."""
    renewed = await leases.renew(session, held, now + lease)
    left = [(logid, token) for logid, token in held if token not in renewed]
    return Renewed(renewed, await leases.current(session, left))


async def expired(session: Session, now: datetime) -> list[UUID]:
    """The tokens of runs whose lease has run out, and that nothing keeps from being renewed."""
    return await leases.expired(session, now, MAX_EXPIRED)


async def reap(session: Session, now: datetime, tokens: Sequence[UUID], *, singly: bool = False) -> int:
    """End attempts whose lease has run out: their replica is gone, or their target has been silent.

    How many were ended. With `singly`, one that the database refuses fails alone.
    """
    rows = await leases.take_over(session, now, tokens)
    left = await _held(session, rows)
    held = [(row, _expired(row)) for row in rows if row not in left]
    _, done, _ = await _settle_held(session, now, held, singly=singly)
    return len(done)


async def _held(session: Session, logs: Sequence[LeasedLog]) -> list[LeasedLog]:
    """Those of the logs that are not to be settled now: their jobs go on with a row that somebody holds."""
    beside = {log.jobid for log in logs if not log.carries}
    held = await standing.held(session, sorted(beside)) if beside else set()
    return [log for log in logs if log.jobid in held and not log.carries]


async def _settle_held(
    session: Session, now: datetime, held: Sequence[HeldEnd], *, singly: bool
) -> tuple[dict[int, Judged], Sequence[HeldEnd], Sequence[HeldEnd]]:
    """Settle running logs whose rows are locked: what became of them, by logid; those done, those left.

    One that the database refuses fails; if it refuses that, too, its lease runs out.
    """
    found: dict[int, Judged] = {}

    async def work(part: Sequence[HeldEnd]) -> None:
        if accepted := [_acceptance(log, end, now) for log, end in part if end.outcome == "accepted"]:
            await statements.accept(session, now, accepted)
        judged = await in_turns(partial(_judge, now), part)
        await settle(session, now, [one for one in judged if one.result.status != "running"])
        found.update({one.log.logid: one for one in judged})

    done, left = await as_a_whole_or_singly(session, held, work, _refused, singly=singly)
    return found, done, [each.item for each in left]


def _judge(now: datetime, held: HeldEnd) -> Judged:
    log, end = held
    if end.outcome == "accepted":
        return Judged(log, log, Result(log.logid, "running"))
    return Judged(log, log, *judge(now, log, end), end)


def _acceptance(log: LeasedLog, end: Ended, now: datetime) -> Acceptance:
    target = target_in(log.target)
    heartbeat = now + timedelta(seconds=0 if target is None else target.heartbeattimeout)
    return Acceptance(log.logid, log.attempt, heartbeat, *end.answer)


def _refused(tried: Tried[HeldEnd]) -> HeldEnd:
    row, end = tried.item
    log.error("a run does not settle", logid=end.logid, error=tried.refusal)
    error = f"The result could not be stored: {tried.refusal}"
    return row, end._replace(outcome="failed", failure=end.failure or Failure.LOST, error=error, again=False)


def _expired(row: LeasedLog) -> Ended:
    if row.host is None:
        failure, error = Failure.SILENT, "It reported its start, and no end in time."
    elif row.acceptedat is not None:
        failure, error = (
            Failure.SILENT,
            "The target accepted the run, then sent no update before its heartbeat timeout.",
        )
    else:
        failure, error = (
            Failure.LOST,
            "The replica making the request died; it may or may not have been delivered.",
        )
    assert row.leasetoken is not None
    # What is made elsewhere is not made again from here.
    again = row.host is not None
    return Ended(row.logid, row.leasetoken, "lost", failure, error, again=again)
