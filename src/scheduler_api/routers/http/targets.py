"""Targets as requests hold them: where a job may call, and who may see what it sends."""

from fastapi import Request

from scheduler_api.actors import Principal, Role
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.jobs.targets import Target
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.access import LOCAL_HOSTS, SELF_CALL
from scheduler_api.settings import Settings
from scheduler_api.targets import Guard, urls


def seen_by(principal: Principal, job: Job) -> Job:
    """The job as somebody may see it: values of headers are for those who may write them."""
    return job if principal.roles.may(Role.EDITOR, job.project) else job.without_header_values()


def _own_origins(request: Request) -> set[str]:
    """Where this service is known to be: by its settings, and by the address that was asked for."""
    settings: Settings = request.state.settings
    here = [f"http://{host}:{settings.port}" for host in LOCAL_HOSTS if settings.port]
    asked = f"{request.url.scheme}://{request.headers.get('host', '')}"
    known = [settings.base_url, asked, *here]
    return {urls.origin_of(url) for url in known if urls.error_in(url) is None}


def check_target(request: Request, target: Target | None) -> None:
    """Refuse an address that is never called, before a job has it. Raises InvalidInput.

    What a name leads to is looked at with each call, and so is what comes back to this service.
    """
    if target is not None and target.url:
        _check_url(request, target.url, ("target", "url"))
    if target is not None and target.oauth2 is not None and target.oauth2.tokenurl:
        _check_url(request, target.oauth2.tokenurl, ("target", "oauth2", "tokenurl"))


def _check_url(request: Request, url: str, place: tuple[str, ...]) -> None:
    settings: Settings = request.state.settings
    if not settings.self_calls and urls.origin_of(url) in _own_origins(request):
        raise InvalidInput(FieldError(place, f"{SELF_CALL} SCHEDULER_SELF_CALLS allows it."))
    address = "127.0.0.1" if urls.is_localhost(url) else urls.address_of(url)
    guard: Guard = request.state.guard
    refusal = None if address is None else guard.refusal(address)
    if refusal is not None:
        raise InvalidInput(FieldError(place, f"{refusal} SCHEDULER_TARGET_NETWORKS opens networks."))
