"""What a failed statement means: worth another try, a sentence for the user, or a bug."""

import asyncio
from collections.abc import Iterator

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from scheduler_api.database.statements import OutOfTime
from scheduler_api.errors import (
    DatabaseBusy,
    DatabaseReadOnly,
    DatabaseUnavailable,
    SchedulerError,
    StorageFull,
)

#: Everything that the driver, the pool or the socket may raise; the rest is a bug and stays what it is.
DATABASE_ERRORS = (
    DBAPIError,
    PoolTimeout,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # A statement on a connection that the server is just ending.
    asyncpg.InternalClientError,
    OSError,
)

SERIALIZATION = {"40001", "40P01"}
LOCK_TIMEOUT = "55P03"
TIMEOUTS = {"57014", LOCK_TIMEOUT, "25P03", "25P04"}
READ_ONLY = {"25006"}
FULL = {"53100", "53200"}
#: SQLSTATEs of: connection, resources, intervention by an operator, system, refused log-in, no database.
AWAY = ("08", "53", "57P", "58", "28", "3D")


def is_transient(error: BaseException) -> bool:
    """Whether the same unit of work, tried once more on a new connection, may well succeed.

    Only for errors from before the commit: a failed commit may have been kept.
    """
    return is_disconnect(error) or sqlstate(error) in SERIALIZATION or is_of_old_schema(error)


def is_of_old_schema(error: BaseException) -> bool:
    """Whether a connection knows a schema that is gone; others may do so, too.

    A table has another column since a migration, or types are made anew since a restore.
    """
    return any(
        isinstance(e, asyncpg.InvalidCachedStatementError)
        or (isinstance(e, asyncpg.InternalServerError) and "cache lookup failed for type" in str(e))
        for e in _chain(error)
    )


def is_disconnect(error: BaseException) -> bool:
    """Whether the connection is gone, so that a commit in progress may have been kept or not."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = sqlstate(error)
    if state is not None:
        return state.startswith(("08", "57P"))
    gone = (asyncpg.InterfaceError, asyncpg.InternalClientError, ConnectionError)
    return any(isinstance(e, gone) for e in _chain(error))


def is_bad_row(error: BaseException) -> bool:
    """Whether the server refused the data (a value, a constraint, a trigger), so that other rows may do."""
    state = sqlstate(error)
    return state is not None and state.startswith(("21", "22", "23", "P0"))


def is_locked(error: BaseException) -> bool:
    """Whether another transaction held a row for too long, so that a later try may succeed."""
    return sqlstate(error) == LOCK_TIMEOUT


def is_of_a_row(error: BaseException) -> bool:
    """Whether only some of the rows are to blame, so that others may do."""
    return is_bad_row(error) or is_locked(error)


def leaves_doubt(error: BaseException) -> bool:
    """Whether a commit that failed in this way may have been kept all the same."""
    return is_disconnect(error) or any(isinstance(e, TimeoutError) for e in _chain(error))


def translate(error: BaseException) -> SchedulerError | None:
    """The domain error that a database error amounts to; None for a bug, such as a syntax error."""
    state = sqlstate(error)
    if isinstance(error, PoolTimeout):
        return DatabaseBusy("All database connections are in use; try again in a moment.")
    if state in READ_ONLY:
        return DatabaseReadOnly("The database is read-only at the moment; try again later.")
    if state in FULL:
        return StorageFull("The database has no room left; free some, and try again.")
    if state in SERIALIZATION or state in TIMEOUTS or isinstance(error, OutOfTime):
        return DatabaseBusy("The database took too long to answer; try again in a moment.")
    if is_disconnect(error) or _is_away(error, state):
        return DatabaseUnavailable("The database is not responding; try again soon.")
    return None


def explain(error: BaseException) -> str:
    """One line for an operator: what the server or the socket said, without any secret."""
    # A time-out stems from a cancellation, which tells nothing.
    deepest = [e for e in _chain(error) if not isinstance(e, asyncio.CancelledError)][-1]
    said = str(deepest).strip().splitlines()
    return said[0] if said else type(deepest).__name__


def _is_away(error: BaseException, state: str | None) -> bool:
    if state is not None:
        return state.startswith(AWAY)
    return any(isinstance(e, OSError) for e in _chain(error))


def sqlstate(error: BaseException) -> str | None:
    """The five letters that the server gave the error, if it came from the server."""
    for e in _chain(error):
        state = getattr(e, "sqlstate", None)
        if isinstance(state, str):
            return state
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps, outermost first."""
    current: BaseException | None = error
    while current is not None:
        yield current
        if isinstance(current, DBAPIError) and isinstance(current.orig, BaseException):
            current = current.orig
        else:
            current = current.__cause__
