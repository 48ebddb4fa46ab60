"""Targets: the requests that runs make."""

from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    StringConstraints,
    model_validator,
)
from pydantic_core import from_json

from scheduler_api.contracts.bodies import MAX_BODY, body_error
from scheduler_api.contracts.jobs.credentials import (
    Headers,
    HeaderValue,
    NamedSecret,
    OAuth2,
    OAuth2Patch,
    plain,
)
from scheduler_api.contracts.values import (
    Input,
    clean_text,
    invalid,
    invalid_at,
    without_defaults,
    without_nulls,
)
from scheduler_api.targets import headers as header_rules
from scheduler_api.targets import media_type, templates, urls
from scheduler_api.targets.judgement import is_status_set

#: Seconds: of one attempt, of a pause between attempts, and between the reports of an accepted run.
MAX_TIMEOUT, MAX_PAUSE, MAX_HEARTBEAT_TIMEOUT = 3600, 86_400, 86_400
#: Characters of a target's JSON that is kept parsed, where it takes up to 25 times as much.
MAX_CACHED = 2048
SAFE_METHODS = {"GET", "HEAD"}


class Method(StrEnum):
    """The HTTP method of a target."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


def _url(value: str) -> str:
    wrong = urls.error_in(value) or templates.error_in(value)
    if wrong is not None:
        raise invalid("url", wrong)
    return value


def _link(value: str) -> str:
    page, _, section = value.partition("#")
    wrong = urls.error_in(page) if value else None
    clean_text(section)
    if wrong is not None:
        raise invalid("url", wrong)
    return value


def _header(name: str, value: HeaderValue) -> None:
    wrong = header_rules.error_in(name, value if isinstance(value, str) else "")
    if wrong is None and not isinstance(value, str) and name.lower() == "content-type":
        wrong = "Write the media type out: it is no secret."
    if wrong is not None:
        raise invalid("header", f"{name}: {wrong}" if name.isprintable() else wrong)


def _headers(value: Headers) -> Headers:
    for name, text in value.items():
        _header(name, text)
    if len({name.lower() for name in value}) < len(value):
        raise invalid("header", "Header names must be unique (case-insensitive).")
    return value


def _changed_headers(value: dict[str, HeaderValue | None]) -> dict[str, HeaderValue | None]:
    _headers({name: text or "" for name, text in value.items()})
    return value


def _body(value: Any) -> Any:
    wrong = templates.error_within(value) or body_error(value)
    if wrong is not None:
        raise invalid("body", wrong)
    return value


def _status_set(value: str) -> str:
    if not is_status_set(value):
        raise invalid(
            "status", "Must be a status such as 404, a class such as 2xx, or a range such as 200-204."
        )
    return value


Link = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_link)]
Body = Annotated[Any, AfterValidator(_body)]
StatusSets = Annotated[
    list[Annotated[str, StringConstraints(max_length=7), AfterValidator(_status_set)]],
    Field(min_length=1, max_length=20),
]


class TargetSummary(Input):
    """The HTTP request that each run of a job sends, without its headers and body."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_url)] = Field(
        description="An http or https URL. Its path and query may contain placeholders, such as `{{logid}}`: "
        + ", ".join(f"`{name}`" for name in templates.NAMES)
        + "."
    )
    method: Annotated[Method, Field(strict=False)] = Field(
        Method.POST, description="GET, HEAD, POST, PUT, PATCH or DELETE."
    )
    timeout: Annotated[int, Field(ge=1, le=MAX_TIMEOUT)] = Field(
        30, description="Seconds that an attempt may take in total."
    )
    success: StatusSets = Field(
        default_factory=lambda: ["2xx"],
        description="The status codes that mean success: `2xx`, `404`, `200-204`.",
    )
    pattern: (
        Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(clean_text)] | None
    ) = Field(None, description="Text that the response must contain, too; `*` matches anything.")
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        3, description="How many retries follow a failed attempt. With 0 at most one request is sent."
    )
    retryon: StatusSets = Field(
        default_factory=lambda: ["408", "425", "429", "5xx"],
        description="The status codes that are retried. No response is always retried.",
    )
    backoff: Annotated[int, Field(ge=1, le=MAX_PAUSE)] = Field(
        5,
        description="Upper limit of the pause before the first retry, in seconds; it doubles with each "
        "one. The actual pause is drawn evenly from 0 to the limit.",
    )
    maxbackoff: Annotated[int, Field(ge=1, le=MAX_PAUSE)] = Field(
        600,
        description="Upper limit of any pause between attempts, in seconds. `Retry-After` may ask for more.",
    )
    retryfor: Annotated[int, Field(ge=1, le=30 * 86_400)] = Field(
        86_400,
        description="No retry follows an attempt that ended more than this many seconds after the first "
        "one started.",
    )
    heartbeattimeout: Annotated[int, Field(ge=1, le=MAX_HEARTBEAT_TIMEOUT)] = Field(
        300,
        description="Seconds that a run accepted with 202 may go without a report before its attempt "
        "times out.",
    )

    keepresponse: bool = Field(
        True,
        description="Whether the first 4 KiB of each response are kept and shown. `false` for responses that "
        "hold secrets.",
    )

    @property
    def host(self) -> str:
        """The host that it calls, as limits name it."""
        return urls.host_of(self.url)


class Target(TargetSummary):
    """The HTTP request that each run of a job sends."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"url": "https://example.com/hooks/nightly", "body": {"run": "{{logid}}"}},
                {
                    "url": "https://example.com/reports/{{scheduledfor}}",
                    "method": "PUT",
                    "headers": {"Authorization": "Bearer …"},
                    "timeout": 120,
                    "success": ["200", "204"],
                    "retries": 5,
                },
            ]
        },
    )

    headers: Annotated[Headers, Field(max_length=50), AfterValidator(_headers)] = Field(
        default_factory=dict,
        description="Additional headers. Values are text, which may contain placeholders, or name a secret: "
        '`{"secret": "crm-token"}`. Text for a header that holds credentials, such as `Authorization`, is '
        "kept as a secret of the project, which the answer names. Connection headers and the service's own "
        "headers cannot be set.",
    )
    body: Body = Field(
        None,
        description=f"At most {MAX_BODY:,} bytes as JSON. A string is sent as text, anything else as "
        "JSON. Strings may contain placeholders: in JSON, a string that is only a placeholder becomes its "
        "value, and numbers stay numbers.",
    )
    clientcert: NamedSecret | None = Field(
        None,
        description="The secret with which the service identifies itself to the target (TLS): a certificate "
        "and its private key, as PEM. Requires https.",
    )
    cacert: NamedSecret | None = Field(
        None,
        description="The secret with the certificates of authorities that the target's certificate may be "
        "signed by instead of the usual ones, as PEM. Requires https.",
    )
    oauth2: OAuth2 | None = Field(
        None,
        description="Client credentials (OAuth 2.0): requests carry a token that is fetched with them, and "
        "kept until it expires.",
    )

    @property
    def secrets(self) -> dict[tuple[str, ...], tuple[str, str]]:
        """The secrets that it names, each with the origin it goes to, by the fields that name them."""
        here = urls.origin_of(self.url)
        found: dict[tuple[str, ...], tuple[str, str]] = {
            ("headers", name): (value.secret, here)
            for name, value in self.headers.items()
            if isinstance(value, NamedSecret)
        }
        for name, value in (("clientcert", self.clientcert), ("cacert", self.cacert)):
            if value is not None:
                found[name,] = value.secret, here
        if self.oauth2 is not None:
            origin = urls.origin_of(self.oauth2.tokenurl)
            found["oauth2", "clientsecret"] = self.oauth2.clientsecret.secret, origin
        return found

    @model_validator(mode="after")
    def _fits_together(self) -> "Target":
        if self.body is not None and self.method in SAFE_METHODS:
            raise invalid_at("body", f"{self.method} has no body; leave it out, or use POST.")
        self._check_charset()
        if self.method is Method.HEAD and self.pattern is not None:
            raise invalid_at("pattern", "A response to HEAD has no body; leave it out, or use GET.")
        for name in ("clientcert", "cacert"):
            if getattr(self, name) is not None and self.url and not self.url.lower().startswith("https:"):
                raise invalid_at(name, "Requires a URL that begins with https://.")
        if self.oauth2 is not None and "authorization" in {name.lower() for name in self.headers}:
            raise invalid_at("oauth2", "Leave the header Authorization out: it carries the token.")
        return self

    def _check_charset(self) -> None:
        """A body is sent in the charset that its type declares, or refused."""
        own = media_type.of({name: text for name, text in plain(self.headers).items() if text})
        if own.unknown is not None:
            raise invalid_at("headers", f"There is no charset {own.unknown}; leave it out for UTF-8.")
        if own.charset == "utf-8":
            return
        if own.is_json or not isinstance(self.body, str | None):
            raise invalid_at("headers", "JSON is sent in UTF-8; leave the charset out.")
        try:
            (self.body or "").encode(own.charset)
        except UnicodeEncodeError as error:
            missing = error.object[error.start]
            raise invalid_at("body", f"Cannot be sent as {own.charset}, which has no “{missing}”.") from None


ChangedHeaders = Annotated[
    dict[str, HeaderValue | None], Field(max_length=50), AfterValidator(_changed_headers)
]


class TargetPatch(Target):
    """Changes to a target: what is left out stays as it is, a header with null goes."""

    model_config = ConfigDict(
        json_schema_extra=lambda schema: without_defaults(
            schema, {"timeout": 5}, {"headers": {"X-Old": None}}
        )
    )

    _gone: list[str] = PrivateAttr(default_factory=list)

    @model_validator(mode="wrap")
    @classmethod
    def _set_apart(cls, data: Any, handler: ModelWrapValidatorHandler["TargetPatch"]) -> "TargetPatch":
        rest, gone = without_nulls(cls, data)
        patch = handler(rest)
        patch._gone.extend(gone)  # noqa: SLF001 - its own
        return patch

    @property
    def changes(self) -> dict[str, Any]:
        """What was given, as JSON has it; null: it becomes what it is without being given."""
        return self.model_dump(mode="json", exclude_unset=True) | dict.fromkeys(self._gone)

    url: Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_url)] = Field("")
    headers: ChangedHeaders = Field(default_factory=dict)  # type: ignore[assignment]  # null: it goes
    oauth2: OAuth2Patch | None = Field(None, description="The changes to them; null: none any more.")


def as_kept(target: Target) -> dict[str, Any]:
    """A target as the database keeps it: without what not all versions know, as long as it has none of it."""
    # The body is plain values already, and may be deep: to dump it would take most of an edit.
    values = target.model_dump(exclude={"body"}) | {"body": target.body}
    return {name: value for name, value in values.items() if value is not None or name not in LATER}


#: Fields that came later than the others.
LATER = {"clientcert", "cacert", "oauth2"}
AnyTarget = TypeVar("AnyTarget", bound=Target)


def target_of(document: str) -> Target:
    """The target that a job's row holds, as JSON. Passes read thousands, and few differ.

    Its body is taken as it is: it was judged when it was written, and that takes long where it is large.
    """
    return _kept(document) if len(document) <= MAX_CACHED else _parsed(document)


def _parsed(document: str) -> Target:
    return stored(from_json(document), Target)


def stored(values: Any, kind: type[AnyTarget]) -> AnyTarget:
    """The target that these are the fields of, as the database has them."""
    if not isinstance(values, dict):
        return kind.model_validate(values)
    rest = {name: value for name, value in values.items() if name != "body"}
    return kind.model_validate(rest).model_copy(update={"body": values.get("body")})


_kept = lru_cache(maxsize=1024)(_parsed)
