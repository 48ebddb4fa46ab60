"""Doing many things in one transaction, each by itself, so that one that fails holds back no other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from scheduler_api.database.failures import DATABASE_ERRORS, explain, is_locked, is_of_a_row
from scheduler_api.database.statements import Session, command, savepoint

Item = TypeVar("Item")
Result = TypeVar("Result")

#: How long to wait for a row that somebody else holds: all others wait meanwhile, too.
HURRY = "SET LOCAL lock_timeout = '50ms'"
#: So many waits in vain are enough for one transaction: a whole table may be locked.
MAX_WAITS = 20


class Tried(NamedTuple, Generic[Item, Result]):
    """One thing, and what came of it."""

    item: Item
    result: Result | None
    refusal: str | None = None
    """What the database said, if it refused."""
    is_held: bool = False
    """Whether it was refused as somebody else holds a row, so that it may do the next time."""


async def one_by_one(
    session: Session, items: Sequence[Item], work: Callable[[Item], Awaitable[Result]]
) -> list[Tried[Item, Result]]:
    """Do `work` for each item in a savepoint; what came of each, in order.

    Other errors of the database than those of single rows are raised. After many waits for others the rest
    is left alone, as held.
    """
    await command(session, HURRY)
    tried: list[Tried[Item, Result]] = []
    waits = 0
    for item in items:
        if waits == MAX_WAITS:
            tried.append(Tried(item, None, "others hold too much", is_held=True))
            continue
        try:
            async with savepoint(session):
                result = await work(item)
        except DATABASE_ERRORS as error:
            if not is_of_a_row(error):
                raise
            waits += is_locked(error)
            tried.append(Tried(item, None, explain(error), is_locked(error)))
        else:
            tried.append(Tried(item, result))
    return tried
