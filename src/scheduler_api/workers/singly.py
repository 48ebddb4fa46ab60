"""Units of work on many things: as a whole, or one by one where the database refuses one of them."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from scheduler_api.database.failures import DATABASE_ERRORS, explain, is_of_a_row
from scheduler_api.errors import SchedulerError

log = structlog.get_logger(__name__)

T = TypeVar("T")


async def whole_else_singly(what: str, unit: Callable[[bool], Awaitable[T]]) -> T:
    """What `unit(singly)` gives: of a first transaction, or of a second one in which each is done by itself.

    Savepoints in the first would cost a tenth of all deliveries. They are only paid for where the database
    refuses a row, or somebody else holds one.
    """
    try:
        return await unit(False)
    except (SchedulerError, *DATABASE_ERRORS) as error:
        if not is_of_a_row(error):
            raise
        why = explain(error.__cause__ or error)
        log.warning("not done as a whole; trying one by one", what=what, error=why)
        return await unit(True)
