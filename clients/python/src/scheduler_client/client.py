"""The service, as programs reach it."""

import httpx

from scheduler_client.calls import ApiError
from scheduler_client.generated import client as generated


class Client(generated.Client):
    """`Client("http://localhost:5000")`; a context manager, sync and async.

    Calls raise ApiError for errors that are not the service's own: of a balancer, or a proxy.
    """

    def get_httpx_client(self) -> httpx.Client:
        """The client below; it may be configured further."""
        client = super().get_httpx_client()
        if not client.event_hooks["response"]:
            client.event_hooks = {"response": [_check]}
        return client

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """The same for calls that do not block."""
        client = super().get_async_httpx_client()
        if not client.event_hooks["response"]:
            client.event_hooks = {"response": [_check_async]}
        return client


def _is_foreign(response: httpx.Response) -> bool:
    kind = response.headers.get("content-type", "")
    return response.is_error and not kind.startswith("application/problem+json")


def _check(response: httpx.Response) -> None:
    if _is_foreign(response):
        raise ApiError(response.status_code, None, response.read())


async def _check_async(response: httpx.Response) -> None:
    if _is_foreign(response):
        raise ApiError(response.status_code, None, await response.aread())
