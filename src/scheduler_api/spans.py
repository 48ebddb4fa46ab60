"""Spans, by OpenTelemetry: of requests to this service, of attempts, and of the requests that these make.

An attempt is the root of its trace, as what it does lasts longer than what asked for it. All attempts of a
run are in one trace, named for the delivery, and their spans are named for the attempt: so a retry can be
linked with the first attempt, and a run with the one that it came after, and nothing has to be kept for that.

Addresses are told up to the path: what follows may be a token, as of an accepted run, or a credential of the
target's. Instrumentation that is made for any service would tell it.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from scheduler_api import __version__
from scheduler_api.targets.signatures import span_id, trace_id
from scheduler_api.tracing import TracedAttempt

#: The attempt whose span is just being made.
_NAMED: ContextVar[TracedAttempt | None] = ContextVar("named", default=None)
_JOIN = TraceContextTextMapPropagator()
#: Seconds for which a service that ends waits for its collector.
LAST_SPANS = 3.0
_CONVERTOR = re.compile(r":\w+}")


class _Ids(RandomIdGenerator):
    """Ids at random, but for attempts."""

    def is_trace_id_random(self) -> bool:
        return False

    def generate_trace_id(self) -> int:
        attempt = _NAMED.get()
        return super().generate_trace_id() if attempt is None else int(trace_id(attempt.deliveryid), 16)

    def generate_span_id(self) -> int:
        attempt = _NAMED.get()
        if attempt is None:
            return super().generate_span_id()
        return int(span_id(attempt.deliveryid, attempt.attempt), 16)


class _Span:
    """A span of OpenTelemetry's, as the rest of the service knows it."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def tell(self, attributes: Mapping[str, str | int | None], error: str | None = None) -> None:
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(name, value)
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR, error))


class OpenTelemetryTracer:
    """Makes spans that a processor gets."""

    def __init__(self, processor: SpanProcessor) -> None:
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "scheduler-api"}
        resource = Resource.create({**named, "service.version": __version__})
        self._provider = TracerProvider(resource=resource, id_generator=_Ids(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("scheduler_api", __version__)

    @contextmanager
    def server(self, scope: Mapping[str, Any]) -> Iterator[_Span]:
        """A request to this service; its route is known when it has been answered."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"]
        attributes = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        parent = _JOIN.extract(headers, Context())
        with self._entered(self._tracer.start_span(method, parent, SpanKind.SERVER, attributes)) as span:
            try:
                yield _Span(span)
            finally:
                route = getattr(scope.get("route"), "path", None)
                if route is not None:
                    route = _CONVERTOR.sub("}", route)
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)

    @contextmanager
    def attempt(self, attempt: TracedAttempt) -> Iterator[_Span]:
        """An attempt of a run: what FaaS calls a trigger, and messaging a message that is sent."""
        links = [] if attempt.attempt == 1 else [_link(attempt.deliveryid)]
        if attempt.parent is not None:
            links.append(_link(attempt.parent))
        attributes = {
            "faas.trigger": "timer" if attempt.cause in {"schedule", "backfill"} else "other",
            "faas.time": attempt.scheduledfor.isoformat(),
            "messaging.system": "scheduler",
            "messaging.operation.type": "send",
            "messaging.message.id": attempt.deliveryid,
            "messaging.destination.name": attempt.host,
            "scheduler.job.id": attempt.jobid,
            "scheduler.job.name": attempt.jobname,
            "scheduler.log.id": attempt.logid,
            "scheduler.attempt": attempt.attempt,
            "scheduler.cause": attempt.cause,
        }
        token = _NAMED.set(attempt)
        try:
            span = self._tracer.start_span(
                f"send {attempt.host}", Context(), SpanKind.PRODUCER, attributes, links
            )
        finally:
            _NAMED.reset(token)
        with self._entered(span):
            yield _Span(span)

    @contextmanager
    def client(self, method: str, url: str) -> Iterator[_Span]:
        """A request to a target."""
        parts = urlsplit(url)
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "url.scheme": parts.scheme,
            "server.address": parts.hostname or "",
        }
        if parts.port is not None:
            attributes["server.port"] = parts.port
        with self._entered(self._tracer.start_span(method, None, SpanKind.CLIENT, attributes)) as span:
            yield _Span(span)

    def _entered(self, span: trace.Span) -> AbstractContextManager[trace.Span]:
        """Let a span be the current one until it ends; what an exception says stays here."""
        return trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False)

    def ids(self) -> Mapping[str, str]:
        """The trace and the span that are in progress."""
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}

    def close(self) -> None:
        """Send what has not been sent, for some seconds: a collector may be away."""
        thread = Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(LAST_SPANS)


def exporting() -> OpenTelemetryTracer:
    """What sends its spans to where OpenTelemetry's variables say."""
    return OpenTelemetryTracer(BatchSpanProcessor(OTLPSpanExporter()))


def _link(deliveryid: str) -> Link:
    """To the first attempt of a delivery."""
    ids = int(trace_id(deliveryid), 16), int(span_id(deliveryid, 1), 16)
    return Link(SpanContext(*ids, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
