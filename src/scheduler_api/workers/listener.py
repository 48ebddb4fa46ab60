"""Hearing PostgreSQL's notifications, from whichever process."""

from collections.abc import Callable, Mapping

from scheduler_api.database.engine import Database
from scheduler_api.workers.loops import Loop, backoff


def listener(database: Database, heard: Mapping[str, Callable[[], None]]) -> Loop:
    """Calls what is named for a channel whenever a notification arrives on it.

    A notification that is lost does no harm: every loop looks on its own, too.
    """

    async def listen() -> float:
        await database.listen(heard)
        return backoff(1)

    return Loop("listener", listen)
