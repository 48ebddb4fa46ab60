"""Runs that call a target: claimed, and settled when the call has ended."""

import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import structlog
from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.contracts import Target, target_of
from scheduler_api.database import calls, jobs, leases, ledger, targets
from scheduler_api.database import verdicts as statements
from scheduler_api.database.calls import DueCall
from scheduler_api.database.failures import DATABASE_ERRORS, explain, is_bad_row
from scheduler_api.database.statements import savepoint
from scheduler_api.database.verdicts import Acceptance
from scheduler_api.errors import JobHasNoTarget, JobNotFound
from scheduler_api.services import hosts, starts
from scheduler_api.services.bounds import Bounds
from scheduler_api.services.outcomes import Ended, Settled, conclude, target_in, verdict_of
from scheduler_api.services.starts import Holder
from scheduler_api.targets import Failure

log = structlog.get_logger(__name__)

#: Expired leases that are taken over in one transaction.
REAP_BATCH = 500


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

    @property
    def target(self) -> Target | None:
        """What to call; None: the job lost its target meanwhile, or it can not be understood."""
        return target_in(self.document)


@dataclass(slots=True)
class Claim:
    """What one claim took."""

    started: list[Started] = field(default_factory=list)
    skipped: int = 0
    """Logs that their policies let not run."""
    more: bool = False
    """Whether there may be more behind those that are bounded: claim again."""
    bounded: bool = False
    """Whether limits may hold something back that is due."""
    nextdue: float | None = None
    """Seconds until the next call is due, where all that is due was looked at; None: none is."""
    failing: frozenset[str] = frozenset()
    """Hosts with failures on their account."""


async def claim(
    session: AsyncSession,
    now: datetime,
    most: int,
    terms: Terms,
    due: datetime | None = None,
    *,
    singly: bool = False,
) -> Claim:
    """Mark up to `most` calls that are due (at `due`, or now) as running, under leases, within all limits.

    The calls may be made once the transaction is committed, and not before. With `singly`, one that the
    database refuses fails alone, and not the whole claim.
    """
    await calls.take_turn(session)
    bounds = Bounds(await calls.bounds(session), now, terms.hostmost, hosts.HOST_BREAKS)
    entries = await calls.due(session, due or now, most, *bounds.full)
    if not entries:
        nextdue = await _until_next(session, now)
        return Claim(bounded=bounds.bind, nextdue=nextdue, failing=bounds.failing)
    known = await calls.known(session, [entry.logid for entry in entries])
    deleted = {entry.logid for entry in entries if known[entry.logid]["deletedat"] is not None}
    if deleted:
        await ledger.abandon(session, now, sorted(deleted))
    wanted = [entry for entry in entries if entry.logid not in deleted]
    taken = [entry for entry in wanted if bounds.admits(entry, known[entry.logid])]
    begun = await starts.begin(session, now, Holder(terms.replica, terms.lease), taken, known, singly=singly)
    is_all = len(entries) < most
    return Claim(
        [
            _started(entry, known[entry.logid], begun.started[entry.logid], now)
            for entry in taken
            if entry.logid in begun.started
        ],
        skipped=begun.refused + len(deleted),
        more=bool(begun.refused or deleted or begun.left) or (not is_all and len(taken) < len(wanted)),
        bounded=bounds.bind or len(taken) < len(wanted),
        nextdue=await _until_next(session, now) if is_all else None,
        failing=bounds.failing,
    )


async def _until_next(session: AsyncSession, now: datetime) -> float | None:
    return _seconds_to(await calls.next_call(session, now), now)


def _started(entry: DueCall, known: Mapping[str, Any], started: Mapping[str, Any], now: datetime) -> Started:
    return Started(
        entry,
        started["leasetoken"],
        now,
        known["jobname"],
        known["createdat"],
        started["runs"],
        started["target"],
        known["secrets"],
        known["parentlogid"],
    )


async def sample(session: AsyncSession, now: datetime, jobid: int) -> Started:
    """A run of the job as it would be now, of which no log tells. Raises JobNotFound, JobHasNoTarget."""
    job = await jobs.one(session, jobid)
    if job is None:
        raise JobNotFound(jobid)
    if job["target"] is None:
        raise JobHasNoTarget(f"Job {jobid} calls nothing, so there is nothing to test.")
    document = to_json(job["target"]).decode()
    return Started(
        DueCall(0, jobid, now, "test", 1, target_of(document).host),
        uuid4(),
        now,
        job["jobname"],
        job["createdat"],
        job["runs"] or 0,
        document,
        await targets.ciphertexts(session, jobid),
    )


async def settle(
    session: AsyncSession, now: datetime, ended: Sequence[Ended], failing: frozenset[str]
) -> dict[UUID, Settled]:
    """Write down what came of attempts; what was still held under its token, and so counted, by token.

    A log may be among them twice: as a run that was taken away meanwhile, and as the one that it was
    given to. `failing` are the hosts that had failures on their account.
    """
    rows = await leases.fence(session, [(end.logid, end.token) for end in ended])
    held = [(rows.pop(end.token), end) for end in ended if end.token in rows]
    settled = {one.logid: one for one in await settle_held(session, now, held)}
    await hosts.judge(session, now, held, failing)
    return {end.token: settled[end.logid] for _, end in held}


async def renew(
    session: AsyncSession, now: datetime, held: Sequence[tuple[int, UUID]], lease: timedelta
) -> set[UUID]:
    """Hold runs (by logid and token) for a further lease; the tokens of those that were still held."""
    return await leases.renew(session, held, now + lease)


async def reap(session: AsyncSession, now: datetime) -> list[Settled]:
    """End attempts whose lease has run out: whoever made them is gone, or their target fell silent."""
    rows = await leases.expired(session, now, REAP_BATCH)
    held = [(row, _expired(row)) for row in rows]
    if not held:
        return []
    try:
        async with savepoint(session):
            return await settle_held(session, now, held)
    except DATABASE_ERRORS as error:
        if not is_bad_row(error):
            raise
        log.warning("left runs do not settle as a whole; settling them one by one", runs=len(held))
        return await _settle_singly(session, now, held)


async def _settle_singly(
    session: AsyncSession, now: datetime, held: Sequence[tuple[Mapping[str, Any], Ended]]
) -> list[Settled]:
    """Settle each run by itself; one that the database refuses fails, or is looked at again next time."""
    settled: list[Settled] = []
    for row, end in held:
        try:
            async with savepoint(session):
                settled += await settle_held(session, now, [(row, end)])
            continue
        except DATABASE_ERRORS as error:
            if not is_bad_row(error):
                raise
            said = explain(error)
        log.error("a left run does not settle", logid=end.logid, error=said)
        failure = end._replace(error=f"The result could not be stored: {said}", again=False)
        with contextlib.suppress(asyncpg.PostgresError):
            async with savepoint(session):
                settled += await settle_held(session, now, [(row, failure)])
    return settled


def _expired(row: Mapping[str, Any]) -> Ended:
    if row["accepted"]:
        failure, error = Failure.SILENT, "The target had accepted the run, and then was silent for too long."
    else:
        failure, error = Failure.LOST, "Whoever made the call went away; whether it arrived is unknown."
    return Ended(row["logid"], row["leasetoken"], "lost", failure, error, again=True)


async def settle_held(
    session: AsyncSession, now: datetime, held: Sequence[tuple[Mapping[str, Any], Ended]]
) -> list[Settled]:
    """Settle running logs whose rows are locked."""
    if not held:
        return []
    known = await calls.rules(session, [row["logid"] for row, _ in held])
    accepted = [
        Acceptance(row["logid"], row["attempt"], _silent_at(known[row["logid"]], now), *end.answer)
        for row, end in held
        if end.outcome == "accepted"
    ]
    if accepted:
        await statements.accept(session, accepted)
    others = [(row, end) for row, end in held if end.outcome != "accepted"]
    verdicts = [
        await verdict_of(session, now, row, known[row["logid"]], end, random.random())  # noqa: S311
        for row, end in others
    ]
    if verdicts:
        await statements.settle(session, now, verdicts)
        await conclude(session, now, [(row, known[row["logid"]], end) for row, end in others], verdicts)
    running = [Settled(acceptance.logid, "running") for acceptance in accepted]
    return running + [Settled(v.logid, v.status, _seconds_to(v.next or v.tried, now)) for v in verdicts]


def _seconds_to(instant: datetime | None, now: datetime) -> float | None:
    return None if instant is None else (instant - now).total_seconds()


def _silent_at(known: Mapping[str, Any], now: datetime) -> datetime:
    target = target_in(known["target"])
    return now + timedelta(seconds=0 if target is None else target.silence)
