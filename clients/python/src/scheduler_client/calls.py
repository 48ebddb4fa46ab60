"""What a call comes to: its result, an error, or a list that goes on."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx

from scheduler_client.generated.models.problem import Problem
from scheduler_client.generated.types import Response

P = ParamSpec("P")
T = TypeVar("T")

NEXT = re.compile(r'<([^>]*)>; rel="next"')


class ApiError(Exception):
    """The service answered with an error."""

    def __init__(self, status: int, problem: Problem | None, body: bytes) -> None:
        super().__init__(problem.detail if problem is not None else f"{status}: {body[:200]!r}")
        self.status = status
        self.problem = problem
        """What the service says of it (RFC 9457); None: the answer came from something in between."""

    @property
    def code(self) -> str | None:
        """The stable name of the error, such as `job_not_found`."""
        return None if self.problem is None else self.problem.code


def checked(response: Response[Problem | T]) -> T:
    """The result of a call, such as `checked(show_job.sync_detailed(1, client=client))`. Raises ApiError."""
    if isinstance(response.parsed, Problem):
        raise ApiError(int(response.status_code), response.parsed, response.content)
    if not httpx.codes.is_success(response.status_code):
        raise ApiError(int(response.status_code), None, response.content)
    return response.parsed  # type: ignore[return-value]  # None stands for an empty answer


def pages(call: Callable[P, Response[Problem | list[T]]], *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
    """All that a list holds, page by page: `pages(list_jobs.sync_detailed, client=client, tag="a")`.

    Raises ApiError.
    """
    cursor: Any = None
    while True:
        response = call(*args, **_at(kwargs, cursor))
        yield from checked(response)
        cursor = _further(response)
        if cursor is None:
            return


async def pages_async(
    call: Callable[P, Awaitable[Response[Problem | list[T]]]], *args: P.args, **kwargs: P.kwargs
) -> AsyncIterator[T]:
    """The same of a call such as `list_jobs.asyncio_detailed`."""
    cursor: Any = None
    while True:
        response = await call(*args, **_at(kwargs, cursor))
        for item in checked(response):
            yield item
        cursor = _further(response)
        if cursor is None:
            return


def _at(kwargs: dict[str, Any], cursor: Any) -> dict[str, Any]:
    return kwargs if cursor is None else kwargs | {"cursor": cursor}


def _further(response: Response[Any]) -> str | None:
    """The cursor of the next page; None: there is none."""
    found = NEXT.search(response.headers.get("link", ""))
    return None if found is None else parse_qs(urlsplit(found[1]).query).get("cursor", [None])[0]
