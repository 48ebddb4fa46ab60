"""Hosts that do not answer: what calls tell of them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from scheduler_api.database.runs import breakers
from scheduler_api.database.runs.leases import LeasedLog
from scheduler_api.database.statements import Session
from scheduler_api.services.runs.ends import Ended
from scheduler_api.targets import HOST_FAILURES

#: Failures in a row from which on a host is left alone; seconds for which, doubled with each so many more.
HOST_BREAKS, MIN_BREAK, MAX_BREAK = 5, 1.0, 60.0
#: For how long failures of a host that nobody calls any more are remembered.
REMEMBERED = timedelta(days=1)


async def judge(
    session: Session,
    now: datetime,
    held: Sequence[tuple[LeasedLog, Ended]],
    failing: frozenset[str],
) -> None:
    """Count the failures in a row of hosts that do not answer; an answer ends the row.

    `held` are logs and their ends, in the order in which they came; `failing`, the hosts that had failures
    on their account.
    """
    failures: dict[str, tuple[int, str]] = {}
    answered = set()
    for row, end in held:
        host = row.host
        assert host is not None
        if end.failure in HOST_FAILURES:
            count, _ = failures.get(host, (0, ""))
            failures[host] = (count + 1, end.error or "")
        elif end.httpstatus is not None:
            failures.pop(host, None)
            answered.add(host)
    # Of a host that fails now, nobody may have told yet that it failed before.
    if recovered := answered & (failing | failures.keys()):
        await breakers.answered(session, sorted(recovered))
    if failures:
        await breakers.failed(session, now, failures, HOST_BREAKS, MIN_BREAK, MAX_BREAK)


async def forget(session: Session, now: datetime) -> None:
    """Forget the failures of hosts that nothing calls any more."""
    await breakers.forget(session, now - REMEMBERED)
