"""Spans, by OpenTelemetry: of requests to this service, of attempts, and of the requests that these make.

An attempt is the root of its trace, as what it does lasts longer than what asked for it. All attempts of a
run are in one trace, named for the delivery, and their spans are named for the attempt: so a retry can be
linked with the first attempt, and a run with the one that it came after, and nothing has to be kept for that.

Spans name hosts and routes, never paths or queries: these may hold a token, as of an accepted run, or a
credential of the target's. Instrumentation that is made for any service records them.

What is traced here is a span or two for each run, of which there may be thousands a second. So spans are
what the SDK exports, made by its samplers and sent by its batches, but neither recorded nor encoded by it:
that would take as long as the run itself (decision 32).
"""

import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from threading import Thread
from time import time_ns
from typing import Any, Self
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from scheduler_api import __version__
from scheduler_api.targets.signatures import span_id, trace_id
from scheduler_api.tracing import TracedAttempt

Attributes = dict[str, str | int]

#: The span that is in progress.
_CURRENT: ContextVar[SpanContext | None] = ContextVar("span", default=None)
#: Seconds for which a service that ends waits for its collector.
LAST_SPANS = 3.0
_JOIN, _IDS = TraceContextTextMapPropagator(), RandomIdGenerator()
_SAMPLED, _DROPPED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)
_UNSET = Status(StatusCode.UNSET)
#: What failed, as OTLP counts.
_ERROR = 2
_SCOPE = InstrumentationScope("scheduler_api", __version__)


@dataclass(slots=True)
class _Span:
    """A span in progress: the current one while it is entered."""

    tracer: "OpenTelemetryTracer"
    name: str
    kind: SpanKind
    context: SpanContext
    parent: SpanContext | None
    attributes: Attributes
    links: Sequence[Link] = ()
    error: str | None = None
    start: int = field(default_factory=time_ns)
    token: Token[SpanContext | None] | None = None

    def __enter__(self) -> Self:
        self.token = _CURRENT.set(self.context)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self.token is not None
        _CURRENT.reset(self.token)
        # What the exception says stays here.
        self.tracer.end(self, self.error or (None if kind is None else kind.__name__))

    @property
    def traceparent(self) -> str:
        context = self.context
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def rename(self, name: str) -> None:
        self.name = name

    def tell(self, attributes: Mapping[str, str | int | None], error: str | None = None) -> None:
        self.attributes.update({name: value for name, value in attributes.items() if value is not None})
        self.error = error or self.error


class OpenTelemetryTracer:
    """Makes spans that a processor gets."""

    def __init__(self, processor: SpanProcessor) -> None:
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "scheduler-api"}
        self._resource = Resource.create({**named, "service.version": __version__})
        # What OpenTelemetry's variables say of it.
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler
        self._processor = processor

    def server(self, scope: Mapping[str, Any]) -> _Span:
        """A request to this service."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method, around = scope["method"], _JOIN.extract(headers, Context())
        parent = trace.get_current_span(around).get_span_context()
        traceid = parent.trace_id if parent.is_valid else _IDS.generate_trace_id()
        attributes: Attributes = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        flags = self._sampled(around, traceid, method, SpanKind.SERVER)
        context = SpanContext(traceid, _IDS.generate_span_id(), is_remote=False, trace_flags=flags)
        return _Span(self, method, SpanKind.SERVER, context, parent if parent.is_valid else None, attributes)

    def attempt(self, attempt: TracedAttempt) -> _Span:
        """An attempt of a run: what FaaS calls a trigger, and messaging a message that is sent."""
        links = [] if attempt.attempt == 1 else [_link(attempt.deliveryid)]
        if attempt.parent is not None:
            links.append(_link(attempt.parent))
        attributes: Attributes = {
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
        name, kind = f"send {attempt.host}", SpanKind.PRODUCER
        traceid, spanid = _ids(attempt.deliveryid, attempt.attempt)
        flags = self._sampled(Context(), traceid, name, kind)
        context = SpanContext(traceid, spanid, is_remote=False, trace_flags=flags)
        return _Span(self, name, kind, context, None, attributes, links)

    def client(self, method: str, url: str) -> _Span:
        """A request to a target, within the span that is in progress."""
        parts, parent = urlsplit(url), _CURRENT.get()
        attributes: Attributes = {
            "http.request.method": method,
            "url.scheme": parts.scheme,
            "server.address": parts.hostname or "",
        }
        if parts.port is not None:
            attributes["server.port"] = parts.port
        traceid = _IDS.generate_trace_id() if parent is None else parent.trace_id
        flags = (
            self._sampled(Context(), traceid, method, SpanKind.CLIENT)
            if parent is None
            else parent.trace_flags
        )
        context = SpanContext(traceid, _IDS.generate_span_id(), is_remote=False, trace_flags=flags)
        return _Span(self, method, SpanKind.CLIENT, context, parent, attributes)

    def ids(self) -> Mapping[str, str]:
        """The trace and the span that are in progress."""
        context = _CURRENT.get()
        if context is None:
            return {}
        return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}

    def end(self, span: _Span, error: str | None) -> None:
        """Hand on what has ended, if it is one of the sample."""
        if not span.context.trace_flags.sampled:
            return
        self._processor.on_end(
            ReadableSpan(
                span.name,
                span.context,
                span.parent,
                self._resource,
                span.attributes,
                links=span.links,
                kind=span.kind,
                status=_UNSET if error is None else Status(StatusCode.ERROR, error),
                start_time=span.start,
                end_time=time_ns(),
                instrumentation_scope=_SCOPE,
            )
        )

    def close(self) -> None:
        """Send what has not been sent, for some seconds: a collector may be away."""
        thread = Thread(target=self._processor.shutdown, daemon=True)
        thread.start()
        thread.join(LAST_SPANS)

    def _sampled(self, around: Context, traceid: int, name: str, kind: SpanKind) -> TraceFlags:
        found = self._sampler.should_sample(around, traceid, name, kind)
        return _SAMPLED if found.decision is Decision.RECORD_AND_SAMPLE else _DROPPED


class _Exporter(OTLPSpanExporter):
    """Sends what it gets as the library does, but encodes it in a third of the time."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send some spans."""
        # The library has no public way to send what somebody else has encoded.
        sent = self._client.export(encoded(spans))
        return SpanExportResult.SUCCESS if sent.success else SpanExportResult.FAILURE


def exporting() -> OpenTelemetryTracer:
    """What sends its spans to where OpenTelemetry's variables say."""
    return OpenTelemetryTracer(BatchSpanProcessor(_Exporter()))


def encoded(spans: Sequence[ReadableSpan]) -> bytes:
    """Spans of one resource, as OTLP has them."""
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    _add_all(of_resource.resource.attributes, spans[0].resource.attributes)
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name, of_scope.scope.version = _SCOPE.name, __version__
    for span in spans:
        context = span.get_span_context()
        assert context is not None
        one = of_scope.spans.add(
            trace_id=context.trace_id.to_bytes(16, "big"),
            span_id=context.span_id.to_bytes(8, "big"),
            name=span.name,
            # The same but for the one of what is unspecified.
            kind=span.kind.value + 1,
            start_time_unix_nano=span.start_time,
            end_time_unix_nano=span.end_time,
            flags=_flags(span.parent),
        )
        if span.parent is not None:
            one.parent_span_id = span.parent.span_id.to_bytes(8, "big")
        _add_all(one.attributes, span.attributes or {})
        for link in span.links:
            one.links.add(
                trace_id=link.context.trace_id.to_bytes(16, "big"),
                span_id=link.context.span_id.to_bytes(8, "big"),
                flags=_flags(link.context),
            )
        one.status.SetInParent()
        if span.status.status_code is StatusCode.ERROR:
            one.status.code, one.status.message = _ERROR, span.status.description or ""
    data: bytes = request.SerializeToString()
    return data


def _flags(other: SpanContext | None) -> int:
    """That it is known whether the other one is of another process, and whether it is."""
    known, is_remote = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK, other is not None and other.is_remote
    return int(known | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK if is_remote else known)


def _add_all(found: Any, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        one = found.add()
        one.key = name
        if isinstance(value, int):
            one.value.int_value = value
        else:
            one.value.string_value = str(value)


def _ids(deliveryid: str, attempt: int) -> tuple[int, int]:
    return int(trace_id(deliveryid), 16), int(span_id(deliveryid, attempt), 16)


def _link(deliveryid: str) -> Link:
    """To the first attempt of a delivery."""
    return Link(SpanContext(*_ids(deliveryid, 1), is_remote=True, trace_flags=_SAMPLED))
