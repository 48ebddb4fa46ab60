"""Limits on what is in progress at once, and begins in a minute: to a host, of a tag, or of a project."""

from datetime import datetime

from scheduler_api.actors import Actor
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.system.limits import Limit, LimitOrder, LimitScope
from scheduler_api.database.jobs import changes
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.runs import counting, pending
from scheduler_api.database.statements import Session
from scheduler_api.database.system import limits
from scheduler_api.errors import LimitNotFound
from scheduler_api.targets.rates import Rate


async def listing(session: Session) -> list[Limit]:
    """All limits, in order."""
    return [Limit.model_validate(row._asdict()) for row in await limits.listing(session)]


async def put(
    session: Session, now: datetime, actor: Actor, scope: LimitScope, name: str, order: LimitOrder
) -> Limit:
    """Set a limit; it holds from the next claim on, for all replicas together."""
    if scope is not LimitScope.HOST and not await limits.is_set(session, scope, name):
        # Claims that have counted without it must be seen by those that count with it.
        await counting.take_all_turns(session)
    await limits.put(session, now, scope, name, limit=order.limit, rate=order.rate)
    await pending.announce(session)
    limit = Limit(scope=scope, name=name, limit=order.limit, rate=order.rate)
    await changes.record(
        session, now, actor, Event(ChangeAction.LIMIT_SET, after=limit.model_dump(mode="json"))
    )
    return limit


async def remove(session: Session, now: datetime, actor: Actor, scope: LimitScope, name: str) -> None:
    """Lift a limit. Raises LimitNotFound."""
    if not await limits.remove(session, scope, name):
        raise LimitNotFound(f"There is no limit on the {scope} {name}.")
    await pending.announce(session)
    await changes.record(
        session, now, actor, Event(ChangeAction.LIMIT_REMOVED, before={"scope": scope, "name": name})
    )


async def holding_back(session: Session, now: datetime, jobid: int, host: str, hostlimit: int) -> str | None:
    """Which limit keeps a due call of a job to a host from starting, as a sentence; None: none does.

    `hostlimit` is how many calls at once a host gets that has no limit of its own.
    """
    for row in await limits.limiting(session, jobid, host):
        subject = host if row.scope == LimitScope.HOST else f"The {row.scope} {row.name}"
        limit = hostlimit if row.limit is None and row.scope == LimitScope.HOST else row.limit
        if limit is not None and row.number >= limit:
            return f"{subject} is at its concurrency limit of {limit}."
        if row.rate is not None and not Rate(row.rate, row.busyuntil).free(now):
            return f"{subject} is at its rate limit of {row.rate} a minute."
    return None
