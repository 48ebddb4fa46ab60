"""What all commands share: settings, an event loop, and errors that are one line and an exit code."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import Any, NoReturn, TypeVar

import click
import structlog
import uvicorn
from pydantic import ValidationError

from scheduler_api import logs
from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS, explain
from scheduler_api.databases import database_server, requests_database, require_schema
from scheduler_api.errors import Misconfigured, SchedulerError
from scheduler_api.settings import Settings, unknown_variables

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: sysexits.h: EX_UNAVAILABLE and EX_CONFIG.
EXIT_UNAVAILABLE, EXIT_CONFIG = 69, 78


@contextlib.asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Database]:
    """The database, with the schema that this code needs; made or changed where `serve` would do so, too.

    Raises SchemaMismatch.
    """
    async with database_server(settings) as places:
        database = requests_database(settings, places)
        try:
            await require_schema(settings, database)
            yield database
        finally:
            await database.close()


def read_settings(**given: Any) -> Settings:
    """The settings, with logging configured by them; an error of theirs ends the process."""
    try:
        settings = Settings(**given)
    except ValidationError as error:
        for field_error in error.errors(include_input=False):
            name = "SCHEDULER_" + "_".join(str(key) for key in field_error["loc"]).upper()
            click.echo(f"{name}: {field_error['msg'].removeprefix('Value error, ')}", err=True)
        sys.exit(EXIT_CONFIG)
    logs.configure(settings.log_level, settings.log_format)
    for sentence in unknown_variables(os.environ):
        log.warning(sentence)
    return settings


def run(settings: Settings, main: Coroutine[Any, Any, T]) -> T:
    """Run to the end, on uvloop where there is one. What went wrong becomes one line and an exit code."""
    factory = uvicorn.Config("", loop="auto", log_config=None).get_loop_factory()
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)
    except KeyboardInterrupt:
        sys.exit(130)
    except SchedulerError as error:
        fail(error, settings)
    except DATABASE_ERRORS as error:
        fail(SchedulerError(_unusable(settings, error)))


def _unusable(settings: Settings | None, error: BaseException) -> str:
    where = "" if settings is None or settings.address is None else f" at {settings.address.shown}"
    said = explain(error)
    hint = ""
    if "startup parameter" in said:
        hint = (
            ". This is a pooler: set SCHEDULER_DATABASE_POOLER=transaction and SCHEDULER_DATABASE_DIRECT_URL"
        )
    return f"The database{where} cannot be used: {said}{hint}"


def fail(error: SchedulerError, settings: Settings | None = None) -> NoReturn:
    """Tell it in one line: what the server said, where a database error is behind it."""
    cause = error.__cause__
    said = _unusable(settings, cause) if isinstance(cause, DATABASE_ERRORS) else str(error)
    click.echo(logs.printable(said), err=True)
    sys.exit(EXIT_CONFIG if isinstance(error, Misconfigured) else EXIT_UNAVAILABLE)
