"""The service, which dies at a named point of its work.

A point is a function, `before` or `after` it; the process ends there at once, as by SIGKILL. A commit
counts only in the session in which the function named with it has been called: others commit meanwhile.
"""

import functools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from scheduler_api import cli
from scheduler_api.database.runs import claims, counting, leases, passes, settling
from scheduler_api.database.transactions import Transactions
from scheduler_api.services.runs import passes as services
from scheduler_api.workers.delivery.client import Client

#: What the shell makes of SIGKILL.
KILLED = 137


class Point(NamedTuple):
    """Where the process dies."""

    owner: Any
    name: str
    before: bool
    once: tuple[Any, str] | None = None
    """What must have been called first, in the same session."""


def _commit(before: bool, owner: Any, name: str) -> Point:
    return Point(Transactions, "commit", before, (owner, name))


PLAIN = {
    "plain: locked": Point(passes, "claim_due", False),
    "plain: rules read": Point(services, "rules_of", False),
    "plain: before the verdict": Point(settling, "ran", True),
    "plain: verdict written": Point(settling, "ran", False),
    "plain: before the commit": _commit(True, settling, "ran"),
    "plain: committed": _commit(False, settling, "ran"),
}
TARGET = {
    "call: its turn": Point(counting, "take_turns", False),
    "call: locked": Point(claims, "due", False),
    "call: before the start": Point(claims, "start", True),
    "call: started": Point(claims, "start", False),
    "call: before the commit of the start": _commit(True, claims, "start"),
    "call: start committed": _commit(False, claims, "start"),
    "call: before sending": Point(Client, "call", True),
    "call: answered": Point(Client, "call", False),
    "call: fenced": Point(leases, "fence", False),
    "call: before the verdict": Point(settling, "ran", True),
    "call: verdict written": Point(settling, "ran", False),
    "call: before the commit of the verdict": _commit(True, settling, "ran"),
    "call: verdict committed": _commit(False, settling, "ran"),
}
POINTS = PLAIN | TARGET


def plant(point: Point) -> None:
    """Let the process die there."""
    reached = list[Any]()

    def die(*args: Any) -> None:
        if point.once is None or args[1] in reached:
            os._exit(KILLED)

    if point.once is not None:
        _wrap(*point.once, after=lambda session, *_: reached.append(session))
    _wrap(point.owner, point.name, **{"before" if point.before else "after": die})


def _wrap(
    owner: Any, name: str, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None
) -> None:
    function = getattr(owner, name)

    @functools.wraps(function)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(*args)
        result = await function(*args, **kwargs)
        if after is not None:
            after(*args)
        return result

    setattr(owner, name, wrapped)


def main(arguments: list[str]) -> None:
    """The command `scheduler-api`; the first argument names the point."""
    point, *others = arguments
    plant(POINTS[point])
    cli.main(others)
