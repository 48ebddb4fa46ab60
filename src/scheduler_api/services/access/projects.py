"""Projects: added, listed, removed."""

from collections.abc import Collection, Sequence
from datetime import datetime

from scheduler_api.actors import Actor
from scheduler_api.contracts.access.projects import Project, ProjectDraft
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.values import DEFAULT_PROJECT
from scheduler_api.database.access import projects
from scheduler_api.database.jobs import changes
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, ProjectInUse, ProjectNotFound

#: How many jobs an error names.
MAX_NAMED = 3


async def listing(session: Session, names: Sequence[str] | None) -> list[Project]:
    """The projects of these names, by name; None: all."""
    return [Project.model_validate(row._asdict()) for row in await projects.listing(session, names)]


async def add(session: Session, now: datetime, actor: Actor, draft: ProjectDraft) -> Project:
    """Add a project. Raises InvalidInput if the name is taken."""
    row = await projects.add(session, now, draft.name, draft.description)
    if row is None:
        raise InvalidInput(FieldError(("name",), "There is such a project already."))
    said = {"project": draft.name}
    await changes.record(session, now, actor, Event(ChangeAction.PROJECT_ADDED, after=said))
    return Project.model_validate(row._asdict())


async def remove(session: Session, now: datetime, actor: Actor, name: str) -> None:
    """Remove a project, with its keys and what users may do in it. Raises ProjectNotFound, ProjectInUse."""
    if not await projects.lock(session, name):
        raise ProjectNotFound(f"There is no project {name}.")
    if name == DEFAULT_PROJECT:
        raise ProjectInUse(f"Jobs without a project of their own belong to {name}.")
    found = await projects.jobs(session, name, MAX_NAMED + 1)
    if found:
        named = ", ".join(map(str, found[:MAX_NAMED])) + (" and others" if found[MAX_NAMED:] else "")
        raise ProjectInUse(
            f"Jobs belong to it, or deleted ones whose history is kept: {named}. Move or remove them first."
        )
    await projects.remove(session, name)
    said = {"project": name}
    await changes.record(session, now, actor, Event(ChangeAction.PROJECT_REMOVED, before=said))


async def require(session: Session, names: Collection[str], field: str) -> None:
    """Raise InvalidInput where a project is not there; those that are stay until the transaction ends."""
    known = await projects.known(session, sorted(names)) if names else set()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidInput(*(FieldError((field, name), "There is no such project.") for name in unknown))
