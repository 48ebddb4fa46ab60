"""What has changed, as server-sent events: a page that hears of it looks again."""

from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler_api.routers.http.access import SAFE_METHODS
from scheduler_api.routers.http.documentation import problems
from scheduler_api.workers.change_feed import News

router = APIRouter(tags=["system"])

#: Seconds without a change after which a line says that the stream lives.
BEAT = 15.0
#: Seconds after which a stream ends; the browser opens another, maybe at another replica.
LONGEST = 600.0


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses=problems(422, 503)
    | {
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "An event `change` whenever something has changed; a comment while nothing does.",
        }
    },
)
async def follow_changes(
    request: Request,
    since: Annotated[
        str | None,
        Query(max_length=40, description="The id of the last event: what came later is told at once."),
    ] = None,
) -> StreamingResponse:
    """Follow what changes, as server-sent events. What it is, they do not tell: look again."""
    news: News = request.state.news
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    changes = news.follow(BEAT, request.headers.get("last-event-id", since))
    return _Followed(_lines(news, changes), headers=headers, media_type="text/event-stream")


class _Followed(StreamingResponse):
    """A stream that takes a reader's place for as long as it is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Here and not in the handler: whatever happens, the place is free again.
        address = scope["client"][0] if scope.get("client") else ""
        with scope["state"]["news"].reading(address):
            await super().__call__(scope, receive, send)


async def _lines(news: News, changes: AsyncIterator[bool]) -> AsyncIterator[str]:
    end = monotonic() + LONGEST
    yield "retry: 2000\n\n"
    async for changed in changes:
        yield f"id: {news.mark}\nevent: change\ndata: \n\n" if changed else ": nothing new\n\n"
        if monotonic() >= end:
            return


#: These change nothing that a page shows.
TELL_NOTHING = {"/schedules/preview", "/times"}


class Announcing:
    """Notes how far the news were when a request came, and tells them when it has changed something."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI call."""
        if scope["type"] == "http":
            # Before anything is read: what changes while a page is made, it is told of afterwards.
            scope["news"] = scope["state"]["news"].mark
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return

        async def send_and_tell(message: Message) -> None:
            is_done = message["type"] == "http.response.start" and message["status"] < 400  # noqa: PLR2004
            if is_done and scope["path"] not in TELL_NOTHING:
                scope["state"]["news"].tell()
                if scope["path"].startswith("/jobs"):
                    scope["state"]["forecasts"].forget()
            await send(message)

        await self._app(scope, receive, send_and_tell)
