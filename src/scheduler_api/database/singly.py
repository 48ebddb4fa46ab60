"""Doing many things in one transaction, each by itself, so that one that fails holds back no other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from scheduler_api.database.failures import DATABASE_ERRORS, explain, is_locked, is_of_a_row
from scheduler_api.database.statements import Session, command, savepoint

Item = TypeVar("Item")

#: How long to wait for a row that somebody else holds: all others wait meanwhile, too.
HURRY = "SET LOCAL lock_timeout = '50ms'"
#: The same after many waits in vain.
NO_WAIT = "SET LOCAL lock_timeout = '1ms'"
#: So many waits in vain are enough for one transaction: a whole table may be locked.
MAX_WAITS = 20


class Tried(NamedTuple, Generic[Item]):
    """One thing, and what came of it."""

    item: Item
    refusal: str | None = None
    """What the database said, if it refused."""
    is_held: bool = False
    """Whether it was refused as somebody else holds a row, so that a later try may succeed."""


async def as_a_whole_or_singly(
    session: Session,
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Awaitable[object]],
    instead: Callable[[Tried[Item]], Item],
    *,
    singly: bool,
) -> tuple[Sequence[Item], Sequence[Tried[Item]]]:
    """Do `work` for all items at once, or for each by itself; those that are done, and what is left of them.

    At once, an error of one is an error of all: the caller begins a new transaction, `singly`. Then one that
    the database refuses is tried again as what comes `instead` of it, and those that others hold are left.
    """
    if not singly:
        await work(items)
        return items, ()

    async def one(item: Item) -> None:
        await work([item])

    tried = await one_by_one(session, items, one)
    refused = [n for n, each in enumerate(tried) if each.refusal is not None and not each.is_held]
    again = await one_by_one(session, [instead(tried[n]) for n in refused], one) if refused else []
    for n, each in zip(refused, again, strict=True):
        tried[n] = each
    left = [each for each in tried if each.refusal is not None]
    return [each.item for each in tried if each.refusal is None], left


async def one_by_one(
    session: Session, items: Sequence[Item], work: Callable[[Item], Awaitable[object]]
) -> list[Tried[Item]]:
    """Do `work` for each item in a savepoint; what came of each, in order.

    Other errors of the database than those of single rows are raised. After many waits for others the rest
    is left alone, as held.
    """
    await command(session, HURRY)
    tried: list[Tried[Item]] = []
    waits = 0
    for item in items:
        if waits == MAX_WAITS:
            tried.append(Tried(item, "others hold too much", is_held=True))
            continue
        try:
            async with savepoint(session):
                await work(item)
        except DATABASE_ERRORS as error:
            if not is_of_a_row(error):
                raise
            waits += is_locked(error)
            tried.append(Tried(item, explain(error), is_locked(error)))
        else:
            tried.append(Tried(item))
    return tried
