"""Connections of the service that last from test to test: to open them takes longer than most tests.

A new one has nothing of the catalogue in its cache, and knows no type and no statement.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from scheduler_api.database.connections import Connection
from scheduler_api.database.engine import Database

_engines: dict[str, AsyncEngine] = {}
_drivers: list[Connection] = []


def lasting_on(loop: asyncio.AbstractEventLoop) -> Callable[..., Database]:
    """What makes databases: on this event loop, lasting ones; a connection is of use on its own alone."""

    def made(*places: Any, **options: Any) -> Database:
        kind = LastingDatabase if _running_loop() is loop else Database
        return kind(*places, **options)

    return made


def _running_loop() -> asyncio.AbstractEventLoop | None:
    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop()
    return None


class LastingDatabase(Database):
    """One whose connections serve the next one that is like it."""

    def __init__(self, *places: Any, **options: Any) -> None:
        super().__init__(*places, **options)
        key = repr((places, options["name"], options["pool"], self.patience))
        if key not in _engines:
            event.listen(self.engine.sync_engine, "connect", _note)
        self.engine = _engines.setdefault(key, self.engine)
        self._transactions.engine = self.engine

    async def close(self) -> None:
        """Leave them to it."""
        await self._transactions.close()
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)
        assert pool.checkedout() == 0, "the service kept a connection"


def _note(connection: DBAPIConnection, _: object) -> None:
    _drivers[:] = [driver for driver in _drivers if not driver.is_closed()]
    _drivers.append(connection.driver_connection)


def pids() -> list[int]:
    """The server's processes of all such connections that can serve another test."""
    return [driver.get_server_pid() for driver in _drivers if driver.is_idle]


async def close() -> None:
    """Close them all."""
    for engine in _engines.values():
        await engine.dispose()
