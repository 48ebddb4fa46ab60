"""Projects: added, listed, removed."""

from collections.abc import Collection, Sequence
from datetime import datetime

from scheduler_api.actors import Actor
from scheduler_api.contracts.access.projects import Project, ProjectDraft, ProjectPatch, Quotas
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.system.limits import LimitScope
from scheduler_api.contracts.values import DEFAULT_PROJECT
from scheduler_api.database.access import projects
from scheduler_api.database.jobs import changes
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.database.system import limits
from scheduler_api.errors import FieldError, InvalidInput, ProjectInUse, ProjectNotFound, enumerated

#: The limit on its runs that a project begins with.
RUNS_AT_ONCE = 100
#: How many jobs an error names.
MAX_NAMED = 3


async def listing(session: Session, names: Sequence[str] | None) -> list[Project]:
    """The projects of these names, by name; None: all."""
    return [Project.model_validate(row._asdict()) for row in await projects.listing(session, names)]


async def add(session: Session, now: datetime, actor: Actor, draft: ProjectDraft) -> Project:
    """Add a project. Raises InvalidInput if the name is taken."""
    row = await projects.add(session, now, draft.model_dump())
    if row is None:
        raise InvalidInput(FieldError(("name",), "There is such a project already."))
    await limits.put(session, now, LimitScope.PROJECT, draft.name, limit=RUNS_AT_ONCE, rate=None)
    bounds = draft.model_dump(include=set(Quotas.model_fields)) | {"limit": RUNS_AT_ONCE}
    said = {"project": draft.name, **bounds}
    await changes.record(session, now, actor, Event(ChangeAction.PROJECT_ADDED, after=said))
    return Project.model_validate(row._asdict())


async def edit(session: Session, now: datetime, actor: Actor, name: str, patch: ProjectPatch) -> Project:
    """Change a project's description and quotas. Raises ProjectNotFound.

    What it uses already stays, should it be more.
    """
    if not await projects.lock(session, name):
        raise ProjectNotFound(f"There is no project {name}.")
    (before,) = await projects.listing(session, [name])
    kept = {field: getattr(before, field) for field in ProjectPatch.model_fields}
    values = kept | patch.model_dump(exclude_unset=True)
    row = await projects.change(session, name, values)
    changed = [field for field in values if values[field] != kept[field]]
    if changed:
        was, became = ({field: side[field] for field in changed} for side in (kept, values))
        event = Event(ChangeAction.PROJECT_CHANGED, None, was, became, name)
        await changes.record(session, now, actor, event)
    return Project.model_validate(row._asdict())


async def remove(session: Session, now: datetime, actor: Actor, name: str) -> None:
    """Remove a project, with its keys and what users may do in it. Raises ProjectNotFound, ProjectInUse."""
    if not await projects.lock(session, name):
        raise ProjectNotFound(f"There is no project {name}.")
    if name == DEFAULT_PROJECT:
        raise ProjectInUse(f"Jobs without a project of their own belong to {name}.")
    found = await projects.jobs(session, name, MAX_NAMED + 1)
    if found:
        named = enumerated(found, MAX_NAMED)
        raise ProjectInUse(
            f"Jobs belong to it, or deleted ones whose history is kept: {named}. Move or remove them first."
        )
    await limits.remove(session, LimitScope.PROJECT, name)
    await projects.remove(session, name)
    said = {"project": name}
    await changes.record(session, now, actor, Event(ChangeAction.PROJECT_REMOVED, before=said))


async def require(session: Session, names: Collection[str], field: str) -> None:
    """Raise InvalidInput where a project is not there; those that are stay until the transaction ends."""
    known = await projects.known(session, sorted(names)) if names else set()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidInput(*(FieldError((field, name), "There is no such project.") for name in unknown))
