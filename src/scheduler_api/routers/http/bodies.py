"""Request bodies, read strictly: JSON as it is written, forms as browsers send them."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from time import monotonic
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from scheduler_api.computing import aside
from scheduler_api.contracts.jobs.calendars import CalendarDraft
from scheduler_api.contracts.jobs.icalendars import draft_of
from scheduler_api.contracts.validation import field_errors_of
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.authentication import admit_again
from scheduler_api.routers.http.forms import meant, model_of
from scheduler_api.routers.http.problems import TYPED

Model = TypeVar("Model", bound=BaseModel)

JSON = "application/json"
FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
FORMS = {FORM, MULTIPART}
#: How PATCH means its body (RFC 7396), whatever it is called.
MERGE_PATCH = "application/merge-patch+json"

#: A calendar as other programs have it.
CALENDAR = "text/calendar"

#: Bytes; the whole body.
MAX_BODY = 262_144
#: Up to so many bytes a body is read on the event loop, in a millisecond or two; a larger one beside it.
SMALL = 4096
#: Objects and arrays inside one another.
MAX_NESTING = 32
#: Seconds that a client may take to send its body.
BODY_DEADLINE = 10.0
#: And so long after that it is looked at again who sent it, as its project may be another by then.
MOMENT = 0.2
#: Fields in one form; in that of a list, each job has one.
MAX_FIELDS = 1100


class _Read(Request):
    """A request whose body was read: FastAPI gets the model that was made of it."""

    def __init__(self, request: Request, content: bytes, value: BaseModel | None) -> None:
        super().__init__(request.scope, request.receive)
        self._content = content
        self._value = value

    async def body(self) -> bytes:
        """What was sent."""
        return self._content

    async def json(self) -> Any:
        """What it means."""
        return self._value


async def read(request: Request, model: Any, *, required: bool) -> Request:
    """The request with its body as a `model`; without one, if it may be left out.

    A body is JSON. POST takes forms as well, of those who do not want a page in return.
    Raises InvalidInput, and HTTPException for what is neither.
    """
    kind = content_type(request)
    if kind in FORMS and request.method == "POST":
        fields = await form_fields(request)
        if not fields and not required:
            return _Read(request, b"", None)
        return _Read(_as_json(request), b"read", await aside(meant, fields, model))
    if kind in ({JSON, MERGE_PATCH} if request.method == "PATCH" else {JSON}):
        content = await _content(request)
        if not content and not required:
            return _Read(request, b"", None)
        value = _model(content, model) if len(content) <= SMALL else await aside(_model, content, model)
        return _Read(request, content, value)
    if kind == CALENDAR and model is CalendarDraft:
        content = await _content(request)
        return _Read(_as_json(request), content, await aside(draft_of, content, datetime.now(UTC).year))
    headers = request.headers
    if not required and headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return _Read(request, b"", None)
    raise HTTPException(415, f"Send `Content-Type: {JSON}`{'' if required else ', or no body'}.")


def _as_json(request: Request) -> Request:
    """FastAPI asks what a body of JSON means, and no other."""
    raw = [(name, value) for name, value in request.headers.raw if name != b"content-type"]
    raw.append((b"content-type", JSON.encode()))
    return Request({**request.scope, "headers": raw}, request.receive)


def _model(content: bytes, model: type[Model]) -> Model:
    _check_json(content)
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise InvalidInput(
            *field_errors_of(error.errors(include_url=False, include_input=False), model)
        ) from None


async def form_fields(request: Request) -> dict[str, str]:
    """The fields of a form, each at most once. Raises InvalidInput, and HTTPException."""
    kind = content_type(request)
    if kind not in FORMS:
        raise HTTPException(415, "Send a form; the API documentation says what programs send.")
    content = await _content(request)
    if content.lstrip()[:1] in {b"{", b"["}:
        # The default of curl and others, whatever they send.
        raise HTTPException(415, f"The body looks like JSON: send it with `Content-Type: {JSON}`.")
    if kind == MULTIPART:
        fields = await _parts(request, content)
    else:
        fields = _fields(content) if len(content) <= SMALL else await aside(_fields, content)
    request.scope[TYPED] = dict(fields)
    return fields


FormFields = Annotated[dict[str, str], Depends(form_fields)]


def form_of(model: type[Model]) -> Any:
    """The dependency on a form's fields as a `model`; an empty field counts as left out."""

    async def made(fields: FormFields) -> Model:
        return model_of(fields, model)

    return Depends(made)


def _fields(content: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            content.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise HTTPException(400, "The body is not a form in UTF-8, or has too many fields.") from None
    return _without_duplicates(pairs)


async def _parts(request: Request, content: bytes) -> dict[str, str]:
    """The fields of a multipart form."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield content

    try:
        form = await MultiPartParser(
            request.headers, stream(), max_files=0, max_fields=MAX_FIELDS, max_part_size=MAX_BODY
        ).parse()
    except (MultiPartException, UnicodeDecodeError, LookupError):
        raise HTTPException(
            400, "The body is not a form in UTF-8, holds a file, or has too many fields."
        ) from None
    fields = _without_duplicates([(k, v) for k, v in form.multi_items() if not isinstance(v, UploadFile)])
    for name, value in fields.items():
        # The client chooses the charset, and some have what is no character.
        _check_text(name, ())
        _check_text(value, (name,))
    return fields


def content_type(request: Request) -> str:
    """The media type of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _content(request: Request) -> bytes:
    """The whole body, if it is not too large and arrives in time, of somebody who may still send it."""
    content, begun = bytearray(), monotonic()
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MAX_BODY:
                    raise HTTPException(413, f"The body is larger than {MAX_BODY:,} bytes.")
    except TimeoutError:
        raise HTTPException(408, "The body did not arrive in time.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The client disconnected before its body arrived.") from None
    if monotonic() - begun > MOMENT:
        await admit_again(request)
    return bytes(content)


async def tail(request: Request, size: int) -> bytes:
    """The end of what is sent, whatever it is; what takes too long to arrive is cut off."""
    content = bytearray()
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(BODY_DEADLINE):
            async for chunk in request.stream():
                content += chunk
                del content[:-size]
    return bytes(content)


def _check_json(content: bytes) -> None:
    """Refuse what Python's or Pydantic's parser would let through or stumble over."""
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise InvalidInput(FieldError((), "The body is nested too deeply.")) from None
    except ValueError:
        raise HTTPException(400, "The body is not valid JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise InvalidInput(FieldError((), "The body must be a JSON object."))
    _check_values(value, (), 1)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dictionary. Raises InvalidInput for a name that comes twice."""
    members = dict(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise InvalidInput(
            *(FieldError((_visible(name),), "Must not be repeated.") for name in counts if counts[name] > 1)
        )
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _check_values(value: Any, path: tuple[str | int, ...], depth: int) -> None:
    """Infinite numbers (1e400) and unpaired surrogates are no values, wherever they stand."""
    if isinstance(value, dict | list):
        if depth > MAX_NESTING:
            raise InvalidInput(FieldError(path[:MAX_NESTING], "Is nested too deeply."))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(key, str):
                _check_text(key, path)
            _check_values(item, (*path, key), depth + 1)
    elif isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, float) and value in {float("inf"), float("-inf")}:
        raise InvalidInput(FieldError(path, "This number is too large."))


def _check_text(value: str, path: tuple[str | int, ...]) -> None:
    if not value.isascii() and value != _visible(value):
        raise InvalidInput(FieldError(path, "Must not contain unpaired surrogates."))


def _visible(value: str) -> str:
    return value.encode("utf-8", "replace").decode("utf-8")
