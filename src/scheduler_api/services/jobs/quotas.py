"""How many jobs a project may have, and how large their bodies may be."""

from typing import Any

from pydantic_core import to_json

from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.database.jobs import quotas
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, QuotaExceeded


async def require_room(session: Session, draft: JobDraft, *, is_new: bool) -> None:
    """Raise QuotaExceeded where its project has no room for a new job, InvalidInput for a body too large."""
    project = draft.project
    maxjobs, maxbody = await quotas.of_project(session, project)
    if draft.target is not None and draft.target.body is not None:
        _require_size(project, maxbody, draft.target.body, ("target", "body"))
    if is_new and maxjobs is not None and await quotas.is_full(session, project, maxjobs):
        raise QuotaExceeded(f"The project {project} has {maxjobs:,} jobs, as many as its quota allows.")


async def require_size(session: Session, project: str, body: Any, place: tuple[str, ...]) -> None:
    """Raise InvalidInput where a body is larger than a project may have."""
    _require_size(project, (await quotas.of_project(session, project)).maxbody, body, place)


def _require_size(project: str, maxbody: int | None, body: Any, place: tuple[str, ...]) -> None:
    if maxbody is not None and (size := len(to_json(body))) > maxbody:
        sentence = f"Must be at most {maxbody:,} bytes in the project {project}; it is {size:,}."
        raise InvalidInput(FieldError(place, sentence))
