"""Errors as answers: RFC 9457 problems for programs, a page for browsers."""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlencode

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match

from scheduler_api import errors
from scheduler_api.contracts.system.problems import OF_HTTP, InvalidField, Problem, ProblemKind
from scheduler_api.contracts.validation import field_errors_of
from scheduler_api.database.failures import explain
from scheduler_api.errors import FieldError, InvalidInput, SchedulerError
from scheduler_api.routers.http.negotiation import Media, preferred
from scheduler_api.web.pages import Again, Pages, Reader
from scheduler_api.web.times import Times
from scheduler_api.wording.problems import ADVICE

log = structlog.get_logger(__name__)

PROBLEM_JSON = "application/problem+json"
#: Seconds after which a client may try again.
RETRY_AFTER = "5"

#: The same after too many failed attempts to sign in.
TRIES_AFTER = 600

#: After these, what was typed stays in its form, with what is wrong.
REFUSED = (InvalidInput, errors.QuotaExceeded, errors.SecretInUse, errors.SecretsUnavailable)

#: The status of each domain error; those that cannot reach a client stand in no table.
STATUSES: dict[type[SchedulerError], int] = {
    errors.InvalidInput: 422,
    errors.JobNotFound: 404,
    errors.LogNotFound: 404,
    errors.SecretNotFound: 404,
    errors.LimitNotFound: 404,
    errors.CalendarNotFound: 404,
    errors.IssueNotFound: 404,
    errors.AlertNotFound: 404,
    errors.ChannelNotFound: 404,
    errors.RuleNotFound: 404,
    errors.MuteNotFound: 404,
    errors.IssueIsOver: 409,
    errors.KeyNotFound: 404,
    errors.UserNotFound: 404,
    errors.ProjectNotFound: 404,
    errors.ProjectInUse: 409,
    errors.SecretInUse: 409,
    errors.LinkNotFound: 404,
    errors.NotSignedIn: 401,
    errors.NotPermitted: 403,
    errors.LastAdmin: 409,
    errors.SignedInElsewhere: 409,
    errors.SigningInIsOff: 409,
    errors.TooManyTries: 429,
    errors.QuotaExceeded: 429,
    errors.JobIsDeleted: 409,
    errors.LogIsSettled: 409,
    errors.RunNotStarted: 409,
    errors.NothingToRetry: 409,
    errors.JobHasNoTarget: 409,
    errors.JobIsMonitor: 409,
    errors.JobIsNoMonitor: 409,
    errors.MonitorNotFound: 404,
    errors.TooManyReports: 429,
    errors.TooManySecrets: 409,
    errors.SecretsUnavailable: 409,
    errors.TokenUnavailable: 409,
    errors.RunIsOver: 410,
    errors.JobHasNoFuture: 409,
    errors.JobIsPaused: 409,
    errors.JobHasFollowers: 409,
    errors.CalendarInUse: 409,
    errors.RestoreNotConfirmed: 409,
    errors.ScheduleUnusable: 409,
    errors.StaleVersion: 412,
    errors.KeyReused: 422,
    errors.KeyInFlight: 409,
    errors.DatabaseUnavailable: 503,
    errors.DatabaseBusy: 503,
    errors.TooManyStreams: 503,
    errors.OutOfDescriptors: 503,
    errors.ServiceBusy: 503,
    errors.TooLong: 422,
    errors.DatabaseReadOnly: 503,
    errors.StorageFull: 503,
    errors.OutcomeUnknown: 503,
    errors.SchemaMismatch: 503,
    errors.ReplicaOutdated: 503,
    errors.RestoreNotHandled: 503,
}


def complaints(error: SchedulerError) -> Sequence[FieldError]:
    """What is wrong, field by field, or with all of it."""
    return error.field_errors if isinstance(error, InvalidInput) else (FieldError((), str(error)),)


def kinds() -> list[ProblemKind]:
    """All kinds of errors that clients may meet, by their codes."""
    found = {kind.code: (_title(kind), status) for kind, status in STATUSES.items()}
    found |= {code: (title, status) for status, (code, title) in OF_HTTP.items()}
    found["internal_error"] = ("Internal server error.", 500)
    return [
        ProblemKind(code=code, title=title, status=status, advice=ADVICE[code])
        for code, (title, status) in sorted(found.items())
    ]


def _title(kind: type[SchedulerError]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


#: Where a request keeps the fields of its form, for a page that offers to send them again.
TYPED = "typed"
#: Fields that no page repeats.
SECRET = {"password", "again", "current", "token", "value"}


def install(app: FastAPI) -> None:
    """Let every error leave the service as a problem."""
    app.add_exception_handler(SchedulerError, _domain)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, _bug)


def answer(request: Request, problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """The problem in the form that the client prefers."""
    headers = {**(headers or {}), "Vary": "Accept", "Cache-Control": "no-store"}
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER
    if preferred(request.headers.get("accept")) is Media.HTML:
        pages: Pages = request.app.state.pages
        if "principal" in request.scope:
            pages = pages.seen_by(Reader(Times(), "/jobs", who=request.scope["principal"]))
        return Response(
            pages.error(problem, _sent_again(request, problem)), problem.status, headers, Media.HTML
        )
    content = problem.model_dump_json(exclude_none=True)
    return Response(content, problem.status, headers, PROBLEM_JSON)


def _sent_again(request: Request, problem: Problem) -> Again | None:
    """The form that was sent in vain, to be sent once more; None: there was none, or it holds secrets."""
    fields: dict[str, str] | None = request.scope.get(TYPED)
    if problem.status != HTTPStatus.SERVICE_UNAVAILABLE or fields is None or SECRET.intersection(fields):
        return None
    query = f"?{request.url.query}" if request.url.query else ""
    return Again(f"{request.url.path}{query}", fields)


def problem_of(error: SchedulerError) -> Problem:
    """The problem that a domain error amounts to."""
    kind = next(kind for kind in type(error).__mro__ if kind in STATUSES or kind is SchedulerError)
    field_errors = (
        [_located(field_error) for field_error in error.field_errors]
        if isinstance(error, InvalidInput)
        else None
    )
    title = _title(kind)
    return Problem(
        title=title,
        status=STATUSES.get(kind, 500),
        detail=str(error) or title,
        code=kind.code,
        errors=field_errors,
    )


def _located(field_error: FieldError) -> InvalidField:
    tokens = (str(key).replace("~", "~0").replace("/", "~1") for key in field_error.path)
    pointer = "".join(f"/{token}" for token in tokens)
    if field_error.path and str(field_error.path[0]).startswith("?"):
        pointer = str(field_error.path[0])
    return InvalidField(
        pointer=errors.shortened(pointer, errors.PATH_LIMIT),
        detail=errors.shortened(field_error.detail, errors.DETAIL_LIMIT),
    )


async def _domain(request: Request, error: Exception) -> Response:
    assert isinstance(error, SchedulerError)
    problem = problem_of(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request failed", code=problem.code, path=request.url.path, because=explain(error))
    if problem.status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds: int | None = TRIES_AFTER
        if isinstance(error, errors.QuotaExceeded | errors.TooManyReports):
            seconds = error.seconds
        return answer(request, problem, None if seconds is None else {"Retry-After": str(seconds)})
    if problem.status != HTTPStatus.UNAUTHORIZED:
        return answer(request, problem)
    if preferred(request.headers.get("accept")) is Media.HTML:
        # People sign in, and go on where they were.
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = f"?{urlencode({'back': here})}" if request.method == "GET" else ""
        return RedirectResponse(f"/sign-in{back}", 303, {"Cache-Control": "no-store"})
    return answer(request, problem, {"WWW-Authenticate": 'Bearer realm="scheduler-api"'})


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    code, title = OF_HTTP[status]
    detail = SENTENCES[status] if error.detail == HTTPStatus(status).phrase else error.detail
    problem = Problem(title=title, status=status, detail=detail, code=code)
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
    return answer(request, problem, headers)


def _allowed(request: Request) -> list[str]:
    """The methods that the address answers to, by all of its routes; a router tells only those of one."""
    # HEAD is answered as GET.
    scopes = {
        method: {**request.scope, "method": "GET" if method == "HEAD" else method} for method in METHODS
    }
    return [
        method
        for method, scope in scopes.items()
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    ]


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
#: Where the framework says no more than the status.
SENTENCES = {
    400: "The request cannot be read.",
    404: "There is nothing at this address.",
    405: "This address does not answer to that method.",
}


async def _validation(request: Request, error: Exception) -> Response:
    """What FastAPI itself checks: parameters in the path and in the query."""
    assert isinstance(error, RequestValidationError)
    if any(detail["loc"][0] == "path" for detail in error.errors()):
        # What is no id leads nowhere.
        return await _http(request, HTTPException(404))
    field_errors = []
    for detail in error.errors():
        (field_error,) = field_errors_of([detail])
        place, *name = field_error.path
        mark = "?" if place == "query" else "/"
        field_errors.append(InvalidField(pointer=mark + "/".join(map(str, name)), detail=field_error.detail))
    summary = " ".join(f"{field_error.pointer[1:]}: {field_error.detail}" for field_error in field_errors)
    problem = problem_of(InvalidInput())
    return answer(request, problem.model_copy(update={"detail": summary, "errors": field_errors}))


async def _bug(request: Request, _: Exception) -> Response:
    problem = Problem(
        title="Internal server error.",
        status=500,
        detail="This is a bug in the service. Its log has the details.",
        code="internal_error",
    )
    return answer(request, problem)
