"""How many jobs a project may have, and how large their bodies may be."""

from pydantic_core import to_json

from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.database.jobs import quotas
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, QuotaExceeded


async def require_room(session: Session, draft: JobDraft, *, is_new: bool) -> None:
    """Raise QuotaExceeded where its project has no room for a new job, InvalidInput for a body too large."""
    allowed = await quotas.of_project(session, draft.project)
    body = None if draft.target is None else draft.target.body
    if allowed.maxbody is not None and body is not None and (size := len(to_json(body))) > allowed.maxbody:
        sentence = (
            f"Must be at most {allowed.maxbody:,} bytes in the project {draft.project}; it is {size:,}."
        )
        raise InvalidInput(FieldError(("target", "body"), sentence))
    if (
        is_new
        and allowed.maxjobs is not None
        and await quotas.is_full(session, draft.project, allowed.maxjobs)
    ):
        raise QuotaExceeded(
            f"The project {draft.project} has {allowed.maxjobs:,} jobs, as many as its quota allows."
        )
