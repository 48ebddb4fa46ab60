"""Claims of runs that call a target."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

from pydantic_core import to_json

from scheduler_api.contracts.jobs.targets import target_of
from scheduler_api.database.jobs import definitions, project_secrets, secrets
from scheduler_api.database.runs import claims, counting, shares
from scheduler_api.database.runs.claims import Started, Terms
from scheduler_api.database.runs.due import DueLog, JobRules, rules_of
from scheduler_api.database.runs.passes import BEGINNING
from scheduler_api.database.runs.shares import Named
from scheduler_api.database.statements import Session
from scheduler_api.errors import JobHasNoTarget, JobNotFound
from scheduler_api.services.runs import breakers, starting
from scheduler_api.services.runs.concurrency import Admitted, Bounds
from scheduler_api.services.runs.ends import seconds_to
from scheduler_api.services.runs.shares import Passed, Reach, Room

#: Where more calls are due than this, and than there are places, so many hosts are looked at in one claim.
WINDOW, HOSTS_A_LOOK = 256, 1000
#: What a high rate lets go meanwhile is claimed at once: claims cost.
PACE = timedelta(seconds=0.05)


@dataclass(slots=True)
class Claim:
    """What one claim took."""

    started: list[Started] = field(default_factory=list)
    reaches: Mapping[int, Reach] = field(default_factory=dict)
    """Up to which of the places each of them may begin, by logid."""
    skipped: int = 0
    """Logs that their policies let not run."""
    more: bool = False
    """Whether there may be more that can start: claim again."""
    bounded: bool = False
    """Whether something that is due is held back, by a limit, somebody who holds it or a lack of places."""
    contended: bool = False
    """Whether another claim has some of what is due in hand: look again in a moment."""
    crowded: bool = False
    """Whether something that is due may wait for a place of this replica."""
    whole: bool = True
    """Whether all hosts with due calls were looked at; otherwise look soon `after` this one."""
    after: str = ""
    oldest: datetime = BEGINNING
    """Nothing that was due before is left."""
    passed: Passed = field(default_factory=Passed)
    """What the next look passes over. It leaves what others hold to them: their turn may have to come."""
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
    # The clock may have been set back since.
    due = now if due is None else min(due, now)
    window = max(room.limit, WINDOW) + 1
    askers = await shares.asking(session, due, window, HOSTS_A_LOOK, room.after, room.floor)
    # A first count tells where to look; what starts is decided by a second one, under locks.
    tight = room.free[Reach.HOST] <= 0
    looked = await counting.bounds(session, [*askers.hosts], askers.jobids, tight=tight)
    seen = Bounds(looked, now, terms.hostmost, breakers.HOST_BREAKS, room)
    wanted = seen.shares(askers.hosts)
    mine = await counting.take_turns(session, [host for host in askers.hosts if host in wanted])
    counts = {host: share for host, share in wanted.items() if host in mine}
    logs = await claims.due(session, due, counts, seen.closed, room.floor) if counts else []
    rules = await rules_of(session, logs) if logs else {}
    held = frozenset(log.jobid for log in logs if log.jobid not in rules)
    deleted = [log for log in logs if log.jobid in rules and rules[log.jobid].deleted]
    free = [log for log in logs if log.jobid in rules and not rules[log.jobid].deleted]
    bounds, others = await _count(session, now, terms, room, seen, free, rules)
    taken = bounds.admit(free, rules)
    chosen = [*deleted, *(one.log for one in taken)]
    begun = await starting.begin(session, now, terms, chosen, rules, singly=singly)
    started = [one for one in taken if one.log.logid in begun.started]
    await shares.use_rates(session, bounds.used_rates([one.log for one in started], rules))
    look = _Look(room, askers.whole, seen.is_shared_out, counts, logs, held, others, taken)
    more = look.hides_some or bool(begun.refused or begun.left)
    rest = None if more else await claims.rest(session, now, due, room.floor)
    return Claim(
        [begun.started[one.log.logid] for one in started],
        reaches={one.log.logid: one.reach for one in started},
        skipped=begun.refused,
        more=more,
        bounded=rest is not None and rest.is_left,
        contended=len(counts) < len(wanted) or bool(others or room.passed.limits),
        crowded=seen.crowded or bounds.crowded,
        whole=askers.whole,
        after=askers.walked,
        oldest=min(askers.hosts.values(), default=due),
        passed=look.passed(more=more),
        nextdue=None if rest is None else _until_next(now, rest.next, bounds.next_paced),
        failing=bounds.failing,
    )


async def _count(
    session: Session,
    now: datetime,
    terms: Terms,
    room: Room,
    seen: Bounds,
    logs: Sequence[DueLog],
    rules: Mapping[int, JobRules],
) -> tuple[Bounds, frozenset[Named]]:
    """What bounds these calls, whose hosts and jobs nobody else counts now.

    And the limits which they share with others, and which another claim has in hand.
    """
    if not logs:
        return seen, frozenset()
    shared = sorted(seen.shared_by(logs, rules))
    locked = await shares.lock_limits(session, shared)
    found = await counting.bounds(
        session,
        [*{log.host for log in logs if log.host is not None}],
        [*{log.jobid for log in logs}],
        [name for scope, name in locked if scope == "tag"],
        [name for scope, name in locked if scope == "project"],
        tight=room.is_tight(len(logs)),
    )
    bounds = Bounds(found, now, terms.hostmost, breakers.HOST_BREAKS, room)
    bounds.keep(locked)
    return bounds, frozenset(shared) - {*locked}


class _Look(NamedTuple):
    """What one look at due calls has seen."""

    room: Room
    whole: bool
    is_shared_out: bool
    counts: Mapping[str, int]
    """How many calls to each host were looked at, at most."""
    logs: Sequence[DueLog]
    held: frozenset[int]
    others: frozenset[Named]
    """Limits that another claim has in hand."""
    taken: Sequence[Admitted]

    @property
    def hides_some(self) -> bool:
        """Whether calls that may start were not seen: the next look finds them.

        They may be behind others to their host, and behind those of held jobs or limits they are; or at hosts
        that had no share, as places were shared out to some of which fewer start.
        """
        looked = Counter(log.host for log in self.logs)
        is_cut = not self.whole or any(looked[host] >= count for host, count in self.counts.items())
        if is_cut and (0 < len(self.taken) < self.room.free[Reach.LENT] or self.held or self.others):
            return True
        is_over = len(self.taken) >= self.room.limit
        return self.is_shared_out and not is_over and bool(self.taken or self._barren)

    def passed(self, *, more: bool) -> Passed:
        """What the next look passes over; with `more`, it goes on with this one."""
        if not more:
            return Passed(self.held)
        jobids, hosts, limits = self.room.passed
        return Passed(jobids | self.held, hosts | self._barren, limits | self.others)

    @property
    def _barren(self) -> set[str]:
        """The hosts at which nothing can start; where something was held, others may be behind it."""
        began = {one.log.host for one in self.taken}
        if self.held or self.others:
            began = {log.host for log in self.logs}
        return {host for host in self.counts if host not in began}


def _until_next(now: datetime, due: datetime | None, paced: datetime | None) -> float | None:
    instants = [due, paced and max(paced, now + PACE)]
    return seconds_to(min((at for at in instants if at is not None), default=None), now)


async def sample(session: Session, now: datetime, jobid: int) -> Started:
    """A run of the job as it would be now, of which no log tells. Raises JobNotFound, JobHasNoTarget."""
    job = await definitions.one(session, jobid)
    if job is None:
        raise JobNotFound(jobid)
    if job.target is None:
        raise JobHasNoTarget(f"Job {jobid} has no target to test.")
    document = to_json(job.target).decode()
    return Started(
        logid=0,
        jobid=jobid,
        scheduledfor=now,
        cause="test",
        attempt=1,
        host=target_of(document).host,
        parentlogid=None,
        runs=job.runs or 0,
        now=now,
        token=uuid4(),
        jobname=job.jobname,
        createdat=job.createdat,
        timezone=job.timezone,
        document=document,
        secrets=await secrets.ciphertexts(session, jobid),
        named=await project_secrets.named(session, jobid),
    )
