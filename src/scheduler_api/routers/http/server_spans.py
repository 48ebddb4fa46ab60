"""A span for each request, where traces are wanted."""

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler_api.tracing import Tracer

#: What is asked all the time, or lasts as long as a page is open.
UNTRACED = ("/healthz", "/readyz", "/metrics", "/events", "/static/")
FAILED = 500
CONVERTOR = re.compile(r":\w+}")


class ServerSpans:
    """Makes them; spans of others, as a request's `traceparent` says, are their parents."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI call."""
        if scope["type"] != "http" or scope["path"].startswith(UNTRACED):
            await self._app(scope, receive, send)
            return
        with self._tracer.server(scope) as span:

            async def send_and_tell(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status: int = message["status"]
                    error = f"status {status}" if status >= FAILED else None
                    span.tell({"http.response.status_code": status}, error)
                await send(message)

            try:
                await self._app(scope, receive, send_and_tell)
            finally:
                # Known when it has been answered.
                path = getattr(scope.get("route"), "path", None)
                if path is not None:
                    route = CONVERTOR.sub("}", path)
                    span.rename(f"{scope['method']} {route}")
                    span.tell({"http.route": route})
