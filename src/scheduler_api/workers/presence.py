"""A replica says that it is there, and when it goes."""

import contextlib
import secrets
from collections.abc import AsyncIterator

from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS
from scheduler_api.errors import SchedulerError
from scheduler_api.services.system import presence
from scheduler_api.workers.loops import Loop

#: Seconds between two times that a replica says so; after several that are missing, it counts as gone.
INTERVAL = 30.0


@contextlib.asynccontextmanager
async def present(database: Database, name: str) -> AsyncIterator[None]:
    """Be there, by that name and a suffix, as long as this context lasts."""

    # Containers may share the name of their machine, and each has the process 1.
    name = f"{name}:{secrets.token_hex(4)}"

    async def tell() -> float:
        await database.transact(presence.arrive, name, database.version)
        return INTERVAL

    # Before it does anything else: who migrates should know of it. Where that cannot be said now, the loop
    # will; what it may not write it will not write all the same.
    with contextlib.suppress(SchedulerError, *DATABASE_ERRORS):
        await tell()
    loop = Loop("presence", tell, longest=INTERVAL)
    loop.start()
    try:
        yield
    finally:
        await loop.cancel()
        with contextlib.suppress(SchedulerError, *DATABASE_ERRORS):
            await database.transact_unfenced(presence.leave, name)
