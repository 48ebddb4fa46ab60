"""Hearing PostgreSQL's notifications, from whichever process."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from scheduler_api.database.engine import Database
from scheduler_api.database.failures import explain
from scheduler_api.workers.loops import backoff

log = structlog.get_logger(__name__)


async def listen_forever(database: Database, heard: Mapping[str, Callable[[], None]]) -> None:
    """Call what is named for a channel whenever a notification arrives on it.

    A notification that is lost does no harm: every loop looks on its own, too.
    """
    failures = 0
    while True:
        try:
            await database.listen(heard)
            failures = 0
        except Exception as error:  # nothing may end the loop
            failures += 1
            log.debug("listening failed", error=explain(error))
        await asyncio.sleep(backoff(failures + 1))
