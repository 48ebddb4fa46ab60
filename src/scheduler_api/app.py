"""The application: its routes, and what stands before them."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from functools import partial

import structlog
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from scheduler_api import __version__, admission
from scheduler_api.actors import ANYBODY
from scheduler_api.logs import configure as configure_logs
from scheduler_api.routers import (
    account,
    actions,
    alerts,
    audit,
    bulk,
    calendars,
    channels,
    events,
    history,
    issues,
    jobs,
    keys,
    limits,
    logs,
    metrics,
    monitors,
    mutes,
    pages,
    project_secrets,
    projects,
    rules,
    runs,
    schedules,
    secrets,
    system,
    users,
)
from scheduler_api.routers.http import documentation, problems
from scheduler_api.routers.http.access import Gate
from scheduler_api.routers.http.dependencies import AppState
from scheduler_api.routers.http.headers import Compression, HeadAsGet, StandardHeaders
from scheduler_api.routers.http.publishing import Publishing
from scheduler_api.routers.http.server_spans import ServerSpans
from scheduler_api.running import running
from scheduler_api.settings import Auth, Settings, unknown_variables
from scheduler_api.tracing import LOG_IDS, Tracer, tracer_of
from scheduler_api.web.pages import STATIC, Pages
from scheduler_api.workers import loop_lag

log = structlog.get_logger(__name__)

#: In this order: what browsers get stands before what programs get at the same addresses.
PARTS = (
    pages,
    jobs,
    logs,
    runs,
    monitors,
    account,
    audit,
    users,
    keys,
    projects,
    actions,
    bulk,
    history,
    secrets,
    project_secrets,
    limits,
    issues,
    alerts,
    channels,
    rules,
    mutes,
    calendars,
    schedules,
    system,
    metrics,
    events,
    documentation,
)


def __getattr__(name: str) -> FastAPI:
    """The service as `app`, made when somebody asks for it: `uvicorn scheduler_api.app:app`."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    settings = Settings()
    admission.require_coherent(settings)
    configure_logs(settings.log_level, settings.log_format, is_server_ours=False)
    for sentence in unknown_variables(os.environ):
        log.warning(sentence)
    return create_app(settings)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service, ready for an ASGI server. Its lifespan owns the database connections and the ticker."""
    settings = settings or Settings()
    tracer = tracer_of(os.environ)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[AppState]:
        async with loop_lag.measured(), _traced(tracer), running(settings, tracer) as state:
            yield state

    app = FastAPI(
        title="Job scheduler",
        version=__version__,
        description=documentation.DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=documentation.operation_id,
    )
    # FastAPI asks the application for its document.
    app.openapi = partial(documentation.document, app)  # type: ignore[method-assign]  # as FastAPI documents it
    app.state.pages = Pages(
        open_to_all=settings.auth is Auth.OFF,
        base=settings.base_url,
        who=None if settings.auth is Auth.REQUIRED else ANYBODY,
        provider=settings.oidc_label if settings.oidc_issuer else None,
        traces=settings.trace_url,
    )
    # What is large is compressed in a thread.
    app.add_middleware(Compression, minimum_size=4096, compresslevel=4)
    app.add_middleware(Publishing)
    app.add_middleware(Gate, settings=settings)
    app.add_middleware(StandardHeaders)
    app.add_middleware(HeadAsGet)
    if tracer is not None:
        app.add_middleware(ServerSpans, tracer=tracer)
    problems.install(app)
    for part in PARTS:
        app.include_router(part.router)
    app.include_router(pages.own_router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


@contextlib.asynccontextmanager
async def _traced(tracer: Tracer | None) -> AsyncIterator[None]:
    """Let log lines tell their traces meanwhile, and send what was traced at the end."""
    LOG_IDS.tracer = tracer
    try:
        yield
    finally:
        LOG_IDS.tracer = None
        if tracer is not None:
            await asyncio.to_thread(tracer.close)
