"""Both event loops that the service runs on."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}

Run = Callable[[Coroutine[Any, Any, None]], None]


def open_files() -> set[str]:
    folder = Path("/proc/self/fd")
    return {one.name for one in folder.iterdir() if one.exists()} if folder.exists() else set()


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a scenario, which may leave behind neither an open socket nor an error that nobody saw."""
    # The first loop of a process opens what stays.
    LOOPS[request.param]().close()
    before = open_files()
    errors: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: errors.append(context))
        yield runner.run
    for thread in threading.enumerate():
        if thread.name.startswith("resolver"):
            thread.join(10)
    assert open_files() <= before
    assert errors == []
