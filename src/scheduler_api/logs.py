"""Log lines: one event, one line, for people on a terminal and as JSON elsewhere."""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


def configure(level: str, style: Literal["console", "json"] | None) -> None:
    """Send everything that is logged, by us and by the libraries, to standard error in one style."""
    if style is None:
        style = "console" if sys.stderr.isatty() else "json"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
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
    # Uvicorn's own account of its start and stop adds nothing to ours.
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, getattr(logging, level.upper())))
    # Alembic tells each step twice over; the migration's own line says it once.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _rendering(style: Literal["console", "json"]) -> list[Processor]:
    forget = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if style == "json":
        return [forget, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [forget, _escape_event, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]


def _escape_event(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Let no control character of somebody's input reach the terminal; other values are shown by repr."""
    said = str(event.get("event", ""))
    event["event"] = "".join(c if c.isprintable() else repr(c)[1:-1] for c in said)
    return event
