"""A service that owns an embedded server, and says line by line what happens to it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import asyncpg
import structlog
import uvloop

from scheduler_api.embedded.server import EmbeddedServer, EmbeddedServerError


def tell(event: str, said: object = None) -> None:
    print(json.dumps([event, said]), flush=True)  # noqa: T201 - its output is what the tests read


async def until_asked() -> None:
    """Wait for a signal."""
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    tell("waiting")
    await asked.wait()


async def leave(server: EmbeddedServer) -> None:
    """Once asked to, ask the server something, and stop it: a graceful service."""
    await until_asked()
    connection = await asyncpg.connect(
        host=str(server.socket_dir), port=5432, user="scheduler", database="scheduler"
    )
    tell("answered", await connection.fetchval("SELECT 1"))
    await connection.close()
    await server.stop()
    tell("stopped")


async def heal(server: EmbeddedServer) -> None:
    """Start the server again whenever it is gone."""
    while True:
        tell("ended", [await server.ended(), server.last_words])
        tell("started", str(await server.start()))


async def fork(server: EmbeddedServer) -> None:
    """Have a worker that was forked after the start, and holds all that the owner holds."""
    if (worker := os.fork()) == 0:
        signal.pause()
    tell("forked", worker)
    await asyncio.Event().wait()


async def stay(server: EmbeddedServer) -> None:
    await asyncio.Event().wait()


async def fail(server: EmbeddedServer) -> None:
    """Once asked to."""
    await until_asked()
    raise ZeroDivisionError


WAYS = {way.__name__: way for way in (leave, heal, fork, stay, fail)}


async def main(way: str, data_dir: str, programs: str, *settings: str) -> int:
    server = EmbeddedServer(
        Path(data_dir),
        programs=Path(programs) if programs else None,
        settings=dict(setting.split("=", 1) for setting in settings),
    )
    try:
        tell("started", str(await server.start()))
    except EmbeddedServerError as error:
        tell("refused", str(error))
        return 1
    await WAYS[way](server)
    return 0


if __name__ == "__main__":
    # A shell that started the tests in the background lets all of them ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    loop_factory = uvloop.new_event_loop if os.environ.get("LOOP") == "uvloop" else None
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory) as runner:
        sys.exit(runner.run(main(*sys.argv[1:])))
