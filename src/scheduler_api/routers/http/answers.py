"""Answers: JSON or a page of HTML, which no cache keeps, and where a list goes on."""

from collections.abc import Mapping

from pydantic import BaseModel
from starlette.responses import Response

from scheduler_api.routers.http.negotiation import Media

NEGOTIATED = {"Vary": "Accept", "Cache-Control": "no-store"}


def json_answer(
    content: BaseModel | str | bytes,
    status: int = 200,
    *,
    further: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A model, or JSON that is written already; `further` is the address of the next page."""
    text = content.model_dump_json() if isinstance(content, BaseModel) else content
    return Response(text, status, {**_headers(further), **(headers or {})}, Media.JSON)


def page_answer(content: str, status: int = 200, *, further: str | None = None) -> Response:
    """A page of HTML; `further` is the address of the next one."""
    return Response(content, status, _headers(further), Media.HTML)


def _headers(further: str | None) -> Mapping[str, str]:
    return NEGOTIATED if further is None else {**NEGOTIATED, "Link": f'<{further}>; rel="next"'}
