"""What a request changes is published on the change feed."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler_api.routers.http.access import SAFE_METHODS
from scheduler_api.workers.standby import WROTE_SECONDS

#: A cookie of those who have just changed something: what they read must have it.
WROTE = "wrote"
#: Requests to these change nothing that a page shows.
UNPUBLISHED = {"/schedules/preview", "/preferences", "/sign-out", "/account/password", "/account/sign-out"}

#: These write nothing to the database.
UNWRITTEN = {"/schedules/preview", "/preferences"}


class Publishing:
    """Notes the place of the change feed when a request arrives, and publishes a change if it made one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI call."""
        if scope["type"] == "http":
            # Before anything is read: a change while the page is made reaches it afterwards.
            scope["mark"] = scope["state"]["feed"].mark
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return

        async def send_and_publish(message: Message) -> None:
            # Whatever came of it: who does not know looks.
            if message["type"] == "http.response.start" and _may_be_read(scope):
                wrote = f"{WROTE}=1; Max-Age={WROTE_SECONDS}; Path=/; HttpOnly; SameSite=Lax"
                MutableHeaders(scope=message).append("set-cookie", wrote)
            is_done = message["type"] == "http.response.start" and message["status"] < 400  # noqa: PLR2004 - an error
            if is_done and _changes_something(scope):
                scope["state"]["feed"].publish()
                if scope["path"].startswith("/jobs"):
                    scope["state"]["forecasts"].forget()
            await send(message)

        await self._app(scope, receive, send_and_publish)


def _may_be_read(scope: Scope) -> bool:
    """Whether pages that are read from a standby may lack what the request has changed."""
    return scope["state"]["standby"] is not None and scope["path"] not in UNWRITTEN


def _changes_something(scope: Scope) -> bool:
    """Whether pages may show something else now: strangers change nothing but runs that they report on."""
    path = scope["path"]
    return path.startswith(("/runs/", "/monitors/")) or (
        scope.get("principal") is not None and path not in UNPUBLISHED
    )
