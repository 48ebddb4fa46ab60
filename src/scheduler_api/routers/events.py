"""The change feed as server-sent events: a page that receives one looks again."""

from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from scheduler_api.routers.http.authentication import is_still_in
from scheduler_api.routers.http.documentation import answers
from scheduler_api.routers.http.routes import StrictRoute
from scheduler_api.workers.change_feed import ChangeFeed

router = APIRouter(tags=["system"], route_class=StrictRoute)

#: Seconds without a change after which a line says that the stream lives, and whether it may go on is looked
#: at; so long is a stream open after a key is revoked, or a user signs out.
BEAT = 2.0
#: Seconds after which a stream ends; the browser opens another, maybe at another replica.
MAX_SECONDS = 600.0


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses=answers(422, 429, 503)
    | {
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "An event `change` whenever something has changed; a `beat` every two seconds "
            "while nothing does and the database answers, else a comment.",
        }
    },
)
async def follow_changes(
    request: Request,
    since: Annotated[
        str | None,
        Query(max_length=40, description="The id of the last event: changes since then are sent at once."),
    ] = None,
) -> StreamingResponse:
    """Follow changes as server-sent events. An event does not say what has changed: read the data again."""
    feed: ChangeFeed = request.state.feed
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    changes = feed.subscribe(BEAT, request.headers.get("last-event-id", since))
    lines = _lines(request, feed, changes)
    return _Followed(lines, headers=headers, media_type="text/event-stream")


class _Followed(StreamingResponse):
    """A stream that takes a subscriber's place for as long as it is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Here and not in the handler: whatever happens, the place is free again.
        address = scope["client"][0] if scope.get("client") else ""
        state = scope["state"]
        async with state["quotas"].streaming(scope["principal"]):
            with state["feed"].subscribing(address):
                await super().__call__(scope, receive, send)


async def _lines(request: Request, feed: ChangeFeed, changes: AsyncIterator[bool]) -> AsyncIterator[str]:
    end = monotonic() + MAX_SECONDS
    yield "retry: 2000\n\n"
    async for changed in changes:
        if not await is_still_in(request):
            return
        if changed:
            yield f"id: {feed.mark}\nevent: change\ndata: \n\n"
        elif feed.is_current:
            yield "event: beat\ndata: \n\n"
        else:
            yield ": the database does not answer\n\n"
        if monotonic() >= end:
            return
