"""Traces: who asks for what is in one, attempts are found again, and nothing that is secret is told."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from scheduler_api import app as app_module
from scheduler_api import tracing
from scheduler_api.app import create_app
from scheduler_api.database.engine import Database
from scheduler_api.errors import Misconfigured
from scheduler_api.settings import Settings
from scheduler_api.spans import OpenTelemetryTracer, encoded
from scheduler_api.targets import signatures
from scheduler_api.tracing import TracedAttempt
from tests.factories import NOON, execute
from tests.receiver import Receiver, receiving
from tests.routers.test_pages import HTML
from tests.routers.test_targets import create, run_due, run_now

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
#: Where a trace is looked at.
TRACES = "https://jaeger.example.com/trace/{traceid}"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def traced(
    application: FastAPI,
    settings: Settings,
    database: Database,
    exporter: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[AsyncClient]:
    """A client of a service that makes traces."""
    tracer = OpenTelemetryTracer(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(app_module, "tracer_of", lambda _: tracer)
    app = create_app(settings.model_copy(update={"trace_url": TRACES}))
    async with LifespanManager(app) as manager:
        transport = ASGITransport(manager.app, raise_app_exceptions=False, client=("127.0.0.1", 50000))
        async with AsyncClient(
            transport=transport, base_url="http://localhost", headers={"accept": "*/*"}
        ) as client:
            yield client


def of_kind(exporter: InMemorySpanExporter, kind: SpanKind) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.kind is kind]


def ids(span: ReadableSpan) -> tuple[str, str]:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


async def test_a_request_is_a_span_of_the_trace_that_it_says_it_belongs_to(
    traced: AsyncClient, exporter: InMemorySpanExporter
) -> None:
    parent = f"00-{TRACE}-00f067aa0ba902b7-01"
    await traced.get("/jobs/7?x=secret", headers={"traceparent": parent})
    await traced.get("/jobs/7", headers={"traceparent": parent})
    await traced.get("/healthz")
    await traced.get("/metrics")
    wrong, right = of_kind(exporter, SpanKind.SERVER)
    assert ids(wrong)[0] == ids(right)[0] == TRACE
    assert right.parent is not None
    assert f"{right.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert right.name == "GET /jobs/{jobid}"
    assert dict(right.attributes or {}) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.response.status_code": 404,
        "http.route": "/jobs/{jobid}",
    }


async def test_an_attempt_is_the_root_of_its_runs_trace_and_the_target_joins_it(
    traced: AsyncClient, exporter: InMemorySpanExporter, receiver: Receiver
) -> None:
    jobid = await create(traced, {"url": f"{receiver.url}?key=secret", "method": "POST"})
    logid = await run_now(traced, jobid)
    await run_due(traced, finished=1)
    (attempt,), (request,) = of_kind(exporter, SpanKind.PRODUCER), of_kind(exporter, SpanKind.CLIENT)
    heard = receiver.requests[0][0]
    traceid, span = ids(request)
    assert heard.headers["traceparent"] == f"00-{traceid}-{span}-01"
    assert heard.headers["webhook-id"] == f"msg_{traceid}"
    assert attempt.parent is None
    assert request.parent is not None
    assert (f"{request.parent.span_id:016x}", traceid) == (ids(attempt)[1], ids(attempt)[0])
    told = dict(attempt.attributes or {})
    assert (
        told.items()
        >= {
            "messaging.message.id": f"msg_{traceid}",
            "scheduler.job.id": jobid,
            "scheduler.log.id": logid,
            "scheduler.attempt": 1,
            "scheduler.cause": "manual",
            "scheduler.outcome": "finished",
            "faas.trigger": "other",
        }.items()
    )
    assert (request.attributes or {})["http.response.status_code"] == 200
    log = (await traced.get(f"/logs/{logid}")).json()
    assert log["traceid"] == traceid
    page = (await traced.get(f"/logs/{logid}", headers=HTML)).text
    assert f'href="https://jaeger.example.com/trace/{traceid}"' in page


async def test_a_retry_is_linked_with_the_first_attempt_and_a_run_with_the_one_before(
    traced: AsyncClient, exporter: InMemorySpanExporter, receiver: Receiver, database: Database
) -> None:
    receiver.always(500)
    parent = await create(traced, {"url": receiver.url, "retries": 1})
    after = {"jobname": "After", "startdate": None, "starttime": None, "after": {"jobid": parent}}
    await create(traced, {"url": receiver.url, "retries": 0}, **after)
    await run_now(traced, parent)
    await run_due(traced, retried=1)
    receiver.always(200)
    await execute(database, "UPDATE joblog SET nextrun = now() WHERE attempt = 2")
    await run_due(traced)
    await run_due(traced)
    first, second, follower = of_kind(exporter, SpanKind.PRODUCER)
    assert ids(first)[0] == ids(second)[0] != ids(follower)[0]
    # The kind of failure: its sentence may quote what was sent or answered.
    assert first.status.description == "status"
    for span in (second, follower):
        (link,) = span.links
        assert (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") == ids(first)
    assert not first.links


async def test_spans_tell_nothing_that_lets_somebody_in(
    traced: AsyncClient, exporter: InMemorySpanExporter, receiver: Receiver
) -> None:
    target = {
        "url": f"{receiver.url}/TOKEN-in-path?key=TOKEN-in-query",
        "headers": {"Authorization": "Bearer TOKEN-in-header"},
        "body": "TOKEN-in-body",
        "method": "POST",
        "retries": 0,
    }
    receiver.always(500, "TOKEN-in-header")
    await run_now(traced, await create(traced, target))
    await run_due(traced)
    await traced.post("/runs/7/TOKEN-of-a-run", json={"progress": 3})
    await traced.get("/sign-in/TOKEN-of-a-link")
    await traced.get("/jobs?cursor=TOKEN-in-a-query")
    spans = exporter.get_finished_spans()
    assert len(spans) >= 6
    assert "TOKEN" not in "".join(span.to_json() for span in spans)


def test_samplers_take_all_attempts_of_a_run_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    exporter = InMemorySpanExporter()
    tracer = OpenTelemetryTracer(SimpleSpanProcessor(exporter))
    flags = Counter[str]()
    for number in range(100):
        name = signatures.delivery_id(number, NOON, NOON, "schedule")
        for attempt in (1, 2):
            told = TracedAttempt(name, attempt, number, "A call", number, "schedule", NOON, "x.example", None)
            with tracer.attempt(told), tracer.client("GET", "https://x.example/") as span:
                flags[span.traceparent[-2:]] += 1
    spans = Counter(ids(span)[0] for span in exporter.get_finished_spans())
    assert set(spans.values()) == {4}
    assert 20 < len(spans) < 80
    assert flags == {"01": 2 * len(spans), "00": 200 - 2 * len(spans)}


def test_spans_are_encoded_as_the_library_does(exporter: InMemorySpanExporter) -> None:
    tracer = OpenTelemetryTracer(SimpleSpanProcessor(exporter))
    headers = [(b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())]
    name, parent = "msg_" + "ab" * 16, "msg_" + "cd" * 16
    with tracer.server({"type": "http", "method": "GET", "headers": headers, "path": "/"}) as span:
        span.tell({"http.response.status_code": 500}, "status 500")
    with tracer.server({"type": "http", "method": "GET", "headers": [], "path": "/"}):
        pass
    told = TracedAttempt(name, 2, 1, "Ä call", 2**40, "after", NOON, "x.example:81", parent)
    with tracer.attempt(told), tracer.client("GET", "https://x.example:81/"):
        pass
    spans = exporter.get_finished_spans()
    assert len(spans) == 4
    expected, found = encode_spans(spans), ExportTraceServiceRequest.FromString(encoded(spans))
    assert str(found) == str(expected)


async def test_what_an_exception_says_is_in_no_span(exporter: InMemorySpanExporter) -> None:
    tracer = OpenTelemetryTracer(SimpleSpanProcessor(exporter))
    scope = {"type": "http", "method": "GET", "headers": [], "path": "/"}
    told = TracedAttempt("msg_" + "ab" * 16, 1, 1, "A call", 1, "schedule", NOON, "x.example", None)
    request = tracer.client("GET", "https://x.example/")
    with pytest.raises(RuntimeError), tracer.server(scope), tracer.attempt(told), request:
        raise RuntimeError("TOKEN")
    spans = exporter.get_finished_spans()
    assert len(spans) == 3
    assert "TOKEN" not in "".join(span.to_json() for span in spans)


async def test_log_lines_tell_their_trace(traced: AsyncClient, receiver: Receiver) -> None:
    assert tracing.LOG_IDS.tracer is not None
    with tracing.LOG_IDS.tracer.client("GET", receiver.url) as span:
        event = tracing.LOG_IDS(None, "info", {"event": "here"})
        assert span.traceparent == f"00-{event['trace_id']}-{event['span_id']}-01"
    assert tracing.LOG_IDS(None, "info", {"event": "here"}) == {"event": "here"}


async def test_without_traces_an_attempt_has_the_same_trace(client: AsyncClient, receiver: Receiver) -> None:
    jobid = await create(client, {"url": receiver.url})
    logid = await run_now(client, jobid)
    await run_due(client, finished=1)
    traceid = (await client.get(f"/logs/{logid}")).json()["traceid"]
    assert receiver.requests[0][0].headers["traceparent"].split("-")[1] == traceid
    assert f"<code>{traceid}</code>" in (await client.get(f"/logs/{logid}", headers=HTML)).text


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_TRACES_EXPORTER": ""}, None),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x",
                "OTEL_TRACES_EXPORTER": "",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
            "not otlp",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "zipkin"}, "not zipkin"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "and grpc"),
    ],
)
def test_the_variables_of_opentelemetry_are_heeded(environment: dict[str, str], says: str | None) -> None:
    if says is None:
        assert tracing.tracer_of(environment) is None
        return
    with pytest.raises(Misconfigured, match=says):
        tracing.tracer_of(environment)


def test_who_lacks_opentelemetry_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> Any:
        raise ModuleNotFoundError("No module named 'opentelemetry'", name="opentelemetry")

    monkeypatch.setattr(tracing.importlib, "import_module", missing)  # type: ignore[attr-defined]  # re-export
    with pytest.raises(Misconfigured, match=r"scheduler-api\[otel\]"):
        tracing.tracer_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"})
