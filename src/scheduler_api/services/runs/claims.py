"""Runs that call a target: claimed, and settled when the call has ended."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import structlog
from pydantic_core import to_json

from scheduler_api.contracts.jobs.targets import Target, target_of
from scheduler_api.database.failures import DATABASE_ERRORS, is_of_a_row
from scheduler_api.database.jobs import definitions, secrets
from scheduler_api.database.runs import claims, leases, logs, shares
from scheduler_api.database.runs import settling as statements
from scheduler_api.database.runs.claims import DueCall, Policies, StartRules
from scheduler_api.database.runs.leases import LeasedLog
from scheduler_api.database.runs.passes import BEGINNING
from scheduler_api.database.runs.settling import Acceptance
from scheduler_api.database.singly import Tried, one_by_one
from scheduler_api.database.statements import Session, savepoint
from scheduler_api.errors import JobHasNoTarget, JobNotFound
from scheduler_api.services.runs import breakers, repairs, starting
from scheduler_api.services.runs.concurrency import Admitted, Bounds
from scheduler_api.services.runs.settling import Ended, Settled, conclude, judge, target_in
from scheduler_api.services.runs.shares import Reach, Room
from scheduler_api.services.runs.starting import Holder
from scheduler_api.targets import Failure

log = structlog.get_logger(__name__)

#: Where more calls are due than this, and than there are places, so many hosts are looked at in one claim.
WINDOW, HOSTS_A_LOOK = 256, 1000
#: What a high rate lets go meanwhile is claimed at once: claims cost.
PACE = timedelta(seconds=0.05)
#: Expired leases that are looked at, at once.
MAX_EXPIRED = 500

Known = Mapping[int, Policies]
#: A running log whose row is locked, and what came of its attempt.
HeldEnd = tuple[LeasedLog, Ended]


class Renewed(NamedTuple):
    """What became of leases that were to be renewed, by token; those that are gone are in neither."""

    renewed: set[UUID]
    locked: set[UUID]
    """Somebody else holds the row, so that nobody takes it over either."""


class Terms(NamedTuple):
    """On what terms a replica claims."""

    replica: str
    """Its name, for those who read the attempts."""
    lease: timedelta
    """How long it may hold a run without a word."""
    hostmost: int
    """How many calls to one host may be under way, of all replicas, where no limit says otherwise."""


@dataclass(frozen=True, slots=True)
class Started:
    """A run that is to make its call now."""

    entry: DueCall
    token: UUID
    now: datetime
    jobname: str
    createdat: datetime
    runs: int
    document: str | None
    """The job's target as JSON. It may be large, so that it is parsed outside of any transaction."""
    secrets: Sequence[bytes]
    """Encrypted."""
    parentlogid: int | None = None
    reach: Reach = Reach.LENT
    """Up to which of the places it may begin."""

    @property
    def target(self) -> Target | None:
        """What to call; None: the job lost its target meanwhile, or it cannot be understood."""
        return target_in(self.document)


@dataclass(slots=True)
class Claim:
    """What one claim took."""

    started: list[Started] = field(default_factory=list)
    skipped: int = 0
    """Logs that their policies let not run."""
    more: bool = False
    """Whether there may be more that can start: claim again."""
    bounded: bool = False
    """Whether limits may hold something back that is due."""
    crowded: bool = False
    """Whether something that is due may wait for a place of this replica."""
    whole: bool = True
    """Whether all hosts with due calls were looked at; otherwise look soon `after` this one."""
    after: str = ""
    oldest: datetime = BEGINNING
    """Nothing that was due before is left."""
    held: frozenset[int] = frozenset()
    """Jobs that somebody else holds: the next look leaves them to others, whose turn may have to come."""
    nextdue: float | None = None
    """Seconds until the next call is due, or a rate lets one start; None: none is."""
    failing: frozenset[str] = frozenset()
    """Hosts with failures on their account."""


async def claim(
    session: Session,
    now: datetime,
    room: Room,
    terms: Terms,
    due: datetime | None = None,
    *,
    singly: bool = False,
) -> Claim:
    """Mark as many calls that are due (at `due`, or now) as there is room for as running, within all limits.

    They are held under leases, and may be made once the transaction is committed, and not before. With
    `singly`, one that the database refuses fails alone, and not the whole claim.
    """
    await claims.take_turn(session)
    # The clock may have been set back since.
    due = now if due is None else min(due, now)
    bounds = Bounds(await claims.bounds(session), now, terms.hostmost, breakers.HOST_BREAKS, room)
    window = max(room.limit, WINDOW) + 1
    askers = await shares.asking(session, due, window, HOSTS_A_LOOK, room.after, room.floor)
    counts = bounds.shares(askers.hosts)
    entries = await claims.due(session, due, counts, *bounds.closed, room.floor) if counts else []
    known = await claims.known(session, [entry.logid for entry in entries]) if entries else {}
    free = [entry for entry in entries if entry.logid in known]
    held = frozenset(entry.jobid for entry in entries if entry.logid not in known)
    wanted = await _without_deleted(session, now, free, known)
    deleted = len(free) - len(wanted)
    bounds.keep_rates(await shares.lock_rates(session, bounds.rates_of(wanted, known)))
    taken = bounds.admit(wanted, known)
    holder = Holder(terms.replica, terms.lease)
    begun = await starting.begin(session, now, holder, [one.entry for one in taken], known, singly=singly)
    started = [one for one in taken if one.entry.logid in begun.started]
    # Somebody else has locked them, or their jobs.
    locked = len(entries) - len(free) + len(taken) - len(started) - begun.refused
    await shares.use_rates(session, bounds.used_rates([one.entry for one in started], known))
    is_cut = not askers.whole or _fills_a_share(entries, counts)
    # What is behind the runs of held jobs was not seen.
    is_unseen = is_cut and (0 < len(taken) < room.free[Reach.LENT] or bool(held))
    more = is_unseen or bool(begun.refused or deleted or begun.left)
    return Claim(
        [_started(one, known[one.entry.logid], begun.started[one.entry.logid], now) for one in started],
        skipped=begun.refused + deleted,
        more=more,
        bounded=bounds.bind or locked > 0,
        crowded=bounds.crowded,
        whole=askers.whole,
        after=askers.walked,
        oldest=min(askers.hosts.values(), default=due),
        held=held,
        nextdue=None if more else await _until_next(session, now, bounds.next_paced),
        failing=bounds.failing,
    )


async def _without_deleted(
    session: Session, now: datetime, entries: Sequence[DueCall], known: Mapping[int, StartRules]
) -> list[DueCall]:
    """The calls whose jobs are still there; the others are written off."""
    deleted = {entry.logid for entry in entries if known[entry.logid].deletedat is not None}
    if deleted:
        await logs.abandon(session, now, sorted(deleted))
    return [entry for entry in entries if entry.logid not in deleted]


def _fills_a_share(entries: Sequence[DueCall], counts: Mapping[str, int]) -> bool:
    looked = Counter(entry.host for entry in entries)
    return any(looked[host] >= count for host, count in counts.items())


async def _until_next(session: Session, now: datetime, paced: datetime | None) -> float | None:
    instants = [await claims.next_call(session, now), paced and max(paced, now + PACE)]
    return _seconds_to(min((at for at in instants if at is not None), default=None), now)


def _started(admitted: Admitted, known: StartRules, started: Mapping[str, Any], now: datetime) -> Started:
    return Started(
        admitted.entry,
        started["leasetoken"],
        now,
        known.jobname,
        known.createdat,
        started["runs"],
        started["target"],
        known.secrets,
        known.parentlogid,
        admitted.reach,
    )


async def sample(session: Session, now: datetime, jobid: int) -> Started:
    """A run of the job as it would be now, of which no log tells. Raises JobNotFound, JobHasNoTarget."""
    job = await definitions.one(session, jobid)
    if job is None:
        raise JobNotFound(jobid)
    if job["target"] is None:
        raise JobHasNoTarget(f"Job {jobid} has no target to test.")
    document = to_json(job["target"]).decode()
    return Started(
        DueCall(0, jobid, now, "test", 1, target_of(document).host),
        uuid4(),
        now,
        job["jobname"],
        job["createdat"],
        job["runs"] or 0,
        document,
        await secrets.ciphertexts(session, jobid),
    )


class Batch(NamedTuple):
    """What became of ends that were to be settled; those that count no more are in neither."""

    settled: dict[UUID, Settled]
    """By token."""
    held: frozenset[UUID]
    """Somebody else holds the row of the log, or of its job: to be retried."""


async def settle(
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
    known = await claims.free_rules(session, [row.logid for row in rows.values()])
    ready = [(rows[end.token], end) for end in ended if end.token in rows and rows[end.token].logid in known]
    free = {end.token for _, end in ready}
    held = await leases.current(session, [(logid, token) for logid, token in shown if token not in free])
    if singly:
        settled, refused = await _settle_singly(session, now, ready, known)
        held |= refused
        judged = [pair for pair in ready if pair[1].token not in held]
        await one_by_one(session, [judged], lambda pairs: breakers.judge(session, now, pairs, failing))
    else:
        settled = await settle_held(session, now, ready, known)
        await breakers.judge(session, now, ready, failing)
    tokens = {end.logid: end.token for _, end in ready}
    return Batch({tokens[one.logid]: one for one in settled}, frozenset(held))


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


async def reap(session: Session, now: datetime, tokens: Sequence[UUID]) -> list[Settled]:
    """End attempts whose lease has run out: their replica is gone, or their target has been silent."""
    rows = await leases.take_over(session, now, tokens)
    known = await claims.free_rules(session, [row.logid for row in rows])
    held = [(row, _expired(row)) for row in rows if row.logid in known]
    if not held:
        return []
    try:
        async with savepoint(session):
            return await settle_held(session, now, held, known)
    except DATABASE_ERRORS as error:
        if not is_of_a_row(error):
            raise
        log.warning("left runs do not settle as a whole; settling them one by one", runs=len(held))
        settled, _ = await _settle_singly(session, now, held, known)
        return settled


async def _settle_singly(
    session: Session, now: datetime, held: Sequence[HeldEnd], known: Known
) -> tuple[list[Settled], set[UUID]]:
    """Settle each run by itself: what became of them, and the tokens of those that somebody else holds.

    One that the database refuses fails; if it refuses that, too, its lease runs out.
    """

    async def settle(one: HeldEnd) -> list[Settled]:
        return await settle_held(session, now, [one], known)

    tried = await one_by_one(session, held, settle)
    failures = [_refused(one) for one in tried if one.refusal is not None and not one.is_held]
    last = await one_by_one(session, failures, settle) if failures else []
    settled = [settled for one in (*tried, *last) for settled in one.result or ()]
    return settled, {one.item[1].token for one in (*tried, *last) if one.is_held}


def _refused(tried: Tried[HeldEnd, list[Settled]]) -> HeldEnd:
    row, end = tried.item
    log.error("a run does not settle", logid=end.logid, error=tried.refusal)
    error = f"The result could not be stored: {tried.refusal}"
    return row, end._replace(outcome="failed", failure=end.failure or Failure.LOST, error=error, again=False)


def _expired(row: LeasedLog) -> Ended:
    if row.accepted:
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
    return Ended(row.logid, row.leasetoken, "lost", failure, error, again=True)


async def settle_held(
    session: Session, now: datetime, held: Sequence[HeldEnd], known: Known
) -> list[Settled]:
    """Settle running logs whose rows are locked; `known` is what their jobs say of what follows, by logid."""
    if not held:
        return []
    accepted = [
        Acceptance(row.logid, row.attempt, _heartbeat_due(known[row.logid], now), *end.answer)
        for row, end in held
        if end.outcome == "accepted"
    ]
    if accepted:
        await statements.accept(session, accepted)
    ends = [(row, known[row.logid], end) for row, end in held if end.outcome != "accepted"]
    settlements = await judge(session, now, ends) if ends else []
    if settlements:
        conflicts = await statements.settle(session, now, settlements)
        await conclude(session, now, ends, settlements)
        await repairs.go_on(session, now, conflicts)
    running = [Settled(acceptance.logid, "running") for acceptance in accepted]
    return running + [
        Settled(one.logid, one.status, _seconds_to(one.retry or one.tried, now)) for one in settlements
    ]


def _seconds_to(instant: datetime | None, now: datetime) -> float | None:
    return None if instant is None else (instant - now).total_seconds()


def _heartbeat_due(known: Policies, now: datetime) -> datetime:
    target = target_in(known.target)
    return now + timedelta(seconds=0 if target is None else target.heartbeattimeout)
