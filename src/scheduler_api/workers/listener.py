"""Hearing at once what other processes tell by notifications."""

import asyncio
import random
from collections.abc import Callable, Mapping

import structlog

from scheduler_api.database.engine import Database
from scheduler_api.database.failures import explain

log = structlog.get_logger(__name__)

#: Seconds to wait after a lost connection, doubled with each further one.
FIRST_PAUSE, MAX_PAUSE = 0.25, 30.0


async def listen_forever(database: Database, heard: Mapping[str, Callable[[], None]]) -> None:
    """Call what is named for a channel whenever something is told on it.

    A hint lost is no harm: everybody looks by himself.
    """
    failures = 0
    while True:
        try:
            await database.listen(heard)
            failures = 0
        except Exception as error:  # nothing may end the loop
            failures += 1
            log.debug("listening failed", error=explain(error))
        longest = min(MAX_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 10))
        await asyncio.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
