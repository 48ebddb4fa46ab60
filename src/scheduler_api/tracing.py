"""Traces, where OpenTelemetry is installed and its own variables ask for them.

Without them nothing of it is loaded. What is traced, and how it is called, is in `spans.py`.
"""

import importlib
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from scheduler_api.errors import Misconfigured

#: Any of these says where traces are sent.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class TracedAttempt(NamedTuple):
    """What the span of an attempt tells."""

    deliveryid: str
    """The trace is named for it."""
    attempt: int
    jobid: int
    jobname: str
    logid: int
    cause: str
    scheduledfor: datetime
    host: str
    parent: str | None
    """The delivery that the run came after; None: none, or one without requests."""


class Span(Protocol):
    """A span in progress."""

    @property
    def traceparent(self) -> str:
        """How somebody else's spans join it (W3C Trace Context)."""
        ...

    def rename(self, name: str) -> None:
        """Call it so."""
        ...

    def tell(self, attributes: Mapping[str, str | int | None], error: str | None = None) -> None:
        """Add what has come out: attributes that are not None, and what went wrong."""
        ...


class Tracer(Protocol):
    """Makes spans."""

    def server(self, scope: Mapping[str, Any]) -> AbstractContextManager[Span]:
        """A request to this service, an ASGI scope."""
        ...

    def attempt(self, attempt: TracedAttempt) -> AbstractContextManager[Span]:
        """An attempt of a run."""
        ...

    def client(self, method: str, url: str) -> AbstractContextManager[Span]:
        """A request to a target."""
        ...

    def ids(self) -> Mapping[str, str]:
        """The trace and the span that are in progress, for log lines; empty: none are."""
        ...

    def close(self) -> None:
        """Send what has not been sent; that may take some seconds."""
        ...


def tracer_of(environment: Mapping[str, str]) -> Tracer | None:
    """What makes spans; None: nobody wants any. Raises Misconfigured."""
    exporter = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none"
    if is_off or not any(environment.get(name) for name in ENDPOINTS):
        return None
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), "http/protobuf")
    if (exporter, protocol) != ("otlp", "http/protobuf"):
        raise Misconfigured(
            "Traces are sent by OTLP over HTTP: OTEL_TRACES_EXPORTER=otlp and "
            f"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, not {exporter} and {protocol}."
        )
    try:
        spans = importlib.import_module("scheduler_api.spans")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise Misconfigured("Traces need OpenTelemetry: pip install 'scheduler-api[otel]'.") from None
    tracer: Tracer = spans.exporting()
    return tracer


class LogIds:
    """A processor of structlog that lets lines tell to which trace they belong."""

    def __init__(self) -> None:
        self.tracer: Tracer | None = None

    def __call__(
        self, _logger: object, _name: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Add the ids, if there are any."""
        if self.tracer is not None:
            event.update(self.tracer.ids())
        return event


LOG_IDS = LogIds()
