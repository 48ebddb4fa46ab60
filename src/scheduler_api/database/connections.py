"""Connections to the server: how they are made, and that none is shared in a state that nobody knows."""

import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from scheduler_api.address import CONNECT_TIMEOUT, Address

#: Seconds without a word until a connection is asked whether it still lives; between two such questions; how
#: many may stay without an answer. A connection that only listens would never notice otherwise.
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 30, 10, 3

#: Seconds that a statement waits at most for a row that another transaction holds.
LOCK_SECONDS = 2
#: What every connection asks of the server.
SESSION_SETTINGS = {
    "timezone": "UTC",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": "15s",
    # Compiling a plan takes a second where running it takes a millisecond.
    "jit": "off",
    # The server must notice, too, when this side has gone: it holds row locks for it.
    "tcp_keepalives_idle": str(KEEPALIVE_IDLE),
    "tcp_keepalives_interval": str(KEEPALIVE_INTERVAL),
    "tcp_keepalives_count": str(KEEPALIVE_COUNT),
}

#: What macOS calls it, and what all others do.
_IDLE_OPTION = getattr(socket, "TCP_KEEPALIVE", None) or socket.TCP_KEEPIDLE


def timeouts(seconds: float) -> dict[str, str]:
    """What a connection asks of the server whose statements may take so many seconds.

    Locks are waited for less long: who waits in vain is to hear that another transaction holds the row, and
    not that the statement took too long.
    """
    milliseconds = {"statement_timeout": seconds, "lock_timeout": min(LOCK_SECONDS, seconds / 2)}
    return {name: str(max(1, int(value * 1000))) for name, value in milliseconds.items()}


class PoolOptions(NamedTuple):
    """How many connections a pool keeps, how many more it may open, how long (seconds) to wait for one."""

    kept: int
    overflow: int
    timeout: float
    settings: Mapping[str, str] = MappingProxyType({})
    """What its connections ask of the server beside what all do."""


class Connection(asyncpg.Connection):  # type: ignore[misc]  # untyped
    """A driver's connection that knows whether its state is known."""

    __slots__ = ("deadline", "in_doubt", "warned")

    def __init__(self, protocol: Any, transport: Any, *arguments: Any) -> None:
        super().__init__(protocol, transport, *arguments)
        self.deadline = float("inf")
        """When, by this process' own clock, the unit of work that uses it has waited long enough."""
        self.in_doubt = False
        """Whether a call was given up before its answer came: what the server still does is unknown."""
        self.warned = False
        """Whether the server warned since this was last set to False; of a commit: it is not replicated."""
        self.add_log_listener(_note_warning)
        _keep_alive(transport.get_extra_info("socket"))

    @property
    def is_idle(self) -> bool:
        """Whether another unit of work may have it: open, answered, and in no transaction."""
        return not (self.is_closed() or self.in_doubt or self.is_in_transaction())


def _note_warning(connection: Connection, message: asyncpg.PostgresLogMessage) -> None:
    if message.severity_en == "WARNING":
        connection.warned = True


def _keep_alive(connected: socket.socket) -> None:
    if connected.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, _IDLE_OPTION, KEEPALIVE_IDLE)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)


def driver_url(address: Address) -> URL:
    """An address as the engine takes it, which hands it to the driver letter for letter."""
    query = {"dsn": address.dsn, "timeout": str(address.timeout)}
    return URL.create("postgresql+asyncpg", query=query)


class Endpoints(NamedTuple):
    """Where the database is."""

    url: URL
    direct: URL | None = None
    """The server itself, if `url` leads to a pooler that hands out connections by the transaction."""


def pooled_engine(
    places: Endpoints, pool: PoolOptions, patience: float, server_settings: Mapping[str, str]
) -> AsyncEngine:
    """An engine with a pool, whose connections give a call up after `patience` seconds."""
    asked = {**server_settings, **pool.settings}
    args = _connect_args(places.url, asked) if places.direct is None else _pooler_args(places.url, asked)
    engine = create_async_engine(
        places.url,
        # Transactions are begun and committed by `Database`, on the driver.
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
        pool_size=pool.kept,
        max_overflow=pool.overflow,
        pool_timeout=pool.timeout,
        connect_args=args | {"command_timeout": patience},
    )
    event.listen(engine.sync_engine, "checkout", _refuse_unfit)
    return engine


def unpooled_engine(url: URL, server_settings: Mapping[str, str]) -> AsyncEngine:
    """An engine whose every connection is new, and waits for as long as the server works."""
    return create_async_engine(url, poolclass=NullPool, connect_args=_connect_args(url, server_settings))


def _connect_args(url: URL, server_settings: Mapping[str, str]) -> dict[str, Any]:
    return {
        "timeout": float(str(url.query.get("timeout", CONNECT_TIMEOUT))),
        "connection_class": Connection,
        "server_settings": {**SESSION_SETTINGS, **server_settings},
    }


def _pooler_args(url: URL, server_settings: Mapping[str, str]) -> dict[str, Any]:
    """For a pooler of transactions: what is set or prepared would be found by others, or be lost."""
    return _connect_args(url, {}) | {
        "server_settings": {"application_name": server_settings["application_name"]},
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,
    }


def set_locally(server_settings: Mapping[str, str]) -> str:
    """The SQL by which a transaction, and it alone, asks of the server what connections do otherwise."""
    asked = {**SESSION_SETTINGS, **server_settings}
    calls = [
        f"set_config('{name}', '{value}', true)"
        for name, value in asked.items()
        if name != "application_name" and not name.startswith("tcp_")
    ]
    return f"SELECT {', '.join(calls)}"


def _refuse_unfit(dbapi_connection: DBAPIConnection, *_: object) -> None:
    """Let no connection leave the pool but an idle one; the pool opens another in its place."""
    driver = dbapi_connection.driver_connection
    # A transaction that the driver knows of makes the next one a savepoint, whatever the server says.
    if not driver.is_idle or driver._top_xact is not None:  # noqa: SLF001 - nothing public tells
        raise DisconnectionError
