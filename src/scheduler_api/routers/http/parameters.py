"""Parameters that handlers share: of paths, of queries, of headers."""

import re
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Response
from pydantic import AfterValidator, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.convertors import StringConvertor, register_url_convertor

from scheduler_api.contracts.system.limits import LimitScope
from scheduler_api.contracts.values import (
    CALENDAR_NAME,
    MAX_ID,
    PROJECT_NAME,
    SECRET_NAME,
    CalendarName,
    ProjectName,
    SecretName,
)
from scheduler_api.errors import FieldError, InvalidInput

DryRun = Annotated[bool, Query(description="Change nothing; answer as if it had been done.")]
#: A version; of what was read, with a digest of that.
ENTITY_TAG = re.compile(r'"(\d{1,9})(?:-[0-9a-f]{16})?"', re.ASCII)


async def _version(
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match", description="The job's ETag: change the job only if it has not changed since."
        ),
    ] = None,
) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    found = ENTITY_TAG.fullmatch(if_match.strip())
    return int(found.group(1)) if found else 0


IfMatch = Annotated[int | None, Depends(_version)]
"""The version that a job must have; one that none ever has for what is no entity tag of ours."""

KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


def _require_printable(key: str) -> str:
    if not KEY.fullmatch(key):
        raise PydanticCustomError("key", "Must be 1 to 255 printable ASCII characters without spaces.")
    return key


IdempotencyKey = Annotated[
    Annotated[str, AfterValidator(_require_printable)] | None,
    Header(
        alias="Idempotency-Key",
        description="Makes the request safe to repeat: a name of your own for it, for 24 hours.",
    ),
]
"""Under which the request may come again."""


def tag(response: Response, version: int) -> None:
    """Name the job's version in the answer."""
    response.headers["ETag"] = f'"{version}"'


class JobIdConvertor(StringConvertor):
    """One segment of a path, but not `run` and `bulk`: those are addresses of their own."""

    regex = "(?!(?:run|bulk)$)[^/]+"


class LogIdConvertor(StringConvertor):
    """One segment of a path, but not `retry`: that is an address of its own."""

    regex = "(?!retry$)[^/]+"


register_url_convertor("jobid", JobIdConvertor())
register_url_convertor("logid", LogIdConvertor())

JobId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which job.", examples=[1])]
LogId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which log.", examples=[1])]
KeyId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which key.")]
UserId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which user.")]
SecretId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which secret.")]
IssueId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which issue.")]
AlertId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which alert.")]
ChannelId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which channel.")]
MuteId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which mute.")]
RuleId = Annotated[int, Path(ge=1, le=MAX_ID, description="Which rule.")]
Scope = Annotated[LimitScope, Path(description="What is limited: `host`, `tag` or `project`.")]


async def _limit_name(
    name: Annotated[
        str,
        Path(
            min_length=1,
            max_length=260,
            pattern=r"^[^\x00-\x1f]+$",
            description="The tag or the project; or the host, with its port unless it is the usual one.",
        ),
    ],
) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidInput(FieldError(("name",), "Must not contain unpaired surrogates.")) from None
    return name


LimitName = Annotated[str, Depends(_limit_name)]


async def _calendar(
    name: Annotated[
        str,
        Path(description="Which calendar.", examples=["de-holidays"]),
        # What is no name is refused with a sentence; a pattern of the path would mean: nothing is there.
        WithJsonSchema({"type": "string", "pattern": CALENDAR_NAME.pattern}),
    ],
) -> str:
    try:
        return CALENDAR.validate_python(name)
    except ValidationError as error:
        raise InvalidInput(FieldError(("name",), error.errors()[0]["msg"])) from None


async def _project(
    project: Annotated[
        str,
        Path(description="Which project.", examples=["billing"]),
        WithJsonSchema({"type": "string", "pattern": PROJECT_NAME.pattern}),
    ],
) -> str:
    try:
        return PROJECT.validate_python(project)
    except ValidationError as error:
        raise InvalidInput(FieldError(("project",), error.errors()[0]["msg"])) from None


def secret_name(text: str) -> str:
    """The name of a secret. Raises InvalidInput."""
    try:
        return SECRET.validate_python(text)
    except ValidationError as error:
        raise InvalidInput(FieldError(("name",), error.errors()[0]["msg"])) from None


async def _secret_name(
    secret: Annotated[
        str,
        Path(description="Which secret.", examples=["crm-token"]),
        WithJsonSchema({"type": "string", "pattern": SECRET_NAME.pattern}),
    ],
) -> str:
    return secret_name(secret)


SECRET = TypeAdapter(SecretName)
SecretNamePath = Annotated[str, Depends(_secret_name)]
PROJECT = TypeAdapter(ProjectName)
ProjectPath = Annotated[str, Depends(_project)]
CALENDAR = TypeAdapter(CalendarName)
CalendarPath = Annotated[str, Depends(_calendar)]
Cursor = Annotated[
    int | None, Query(ge=1, le=MAX_ID, description="Where the list goes on, as its `Link` header says.")
]
NameCursor = Annotated[
    str, Query(pattern=r"^[a-z0-9._-]{0,100}$", description="Where the list goes on, as its `Link` says.")
]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
#: What lists hold unless they are asked for less; and the runs of a job beside it.
LIST_LIMIT, LOGS_LIMIT = 1000, 100
#: Pages tell more of each, and are to be light.
PAGE_LIMIT, MAX_PAGE = 20, 100


async def _page_size(limit: Annotated[int, Query(ge=1, le=1000)] = PAGE_LIMIT) -> int:
    return min(limit, MAX_PAGE)


PageSize = Annotated[int, Depends(_page_size)]
"""How many of a list a page shows."""
