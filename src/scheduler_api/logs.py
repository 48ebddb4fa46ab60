"""Log lines: one event, one line, for people on a terminal and as JSON elsewhere."""

import logging
import re
import sys
from datetime import datetime
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from scheduler_api.tracing import LOG_IDS

#: The address of an accepted run, of a monitor, or of a link that lets somebody in, up to its token; or up to
#: what an identity provider sends somebody back with.
_RUN = re.compile(r"""(/(?:runs/[^/\s]{1,40}|monitors|sign-in)/)[^/\s?#"'\\]+(?:/callback\?[^\s"'\\]*)?""")
_TRACES = frozenset({"exception", "stack"})


def configure(level: str, style: Literal["console", "json"] | None, *, is_server_ours: bool = True) -> None:
    """Send everything that is logged, by us and by the libraries, to standard error in one style.

    Where the server is not ours, Uvicorn says itself where it serves.
    """
    if style is None:
        style = "console" if sys.stderr.isatty() else "json"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        LOG_IDS,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(style))
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    if is_server_ours:
        # Uvicorn's own account of its start and stop adds nothing to ours.
        logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, getattr(logging, level.upper())))
    # Alembic tells each step twice over; the migration's own line says it once.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def printable(text: str) -> str:
    """The text on one line, with nothing in it that a terminal would obey."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _rendering(style: Literal["console", "json"]) -> list[Processor]:
    common: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _leave_out_colors,
        _hide_tokens,
    ]
    if style == "json":
        return [*common, structlog.processors.JSONRenderer()]
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [*common, _escape, console]


def _leave_out_colors(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Uvicorn says what it says a second time, for terminals."""
    event.pop("color_message", None)
    return event


def _hide_tokens(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Let no line tell by which address an accepted run is reported on: who knows it may end the run."""
    return {name: _without_tokens(value) for name, value in event.items()}


def _without_tokens(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(_without_tokens(key)): _without_tokens(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_tokens(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return _RUN.sub(r"\1…", value if isinstance(value, str) else repr(value))


def _escape(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Let no control character of somebody's input reach the terminal."""
    for name, value in event.items():
        if name in _TRACES:
            # Of many lines; none of them looks like one of ours.
            event[name] = "\n".join(f"    {printable(line)}" for line in str(value).splitlines())
        elif isinstance(value, str):
            event[name] = printable(value)
    return event
