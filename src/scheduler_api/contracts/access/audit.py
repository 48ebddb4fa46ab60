"""What everybody did, in one list."""

from datetime import datetime
from typing import Any

from pydantic import Field

from scheduler_api.actors import ActorKind
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.values import Output


class AuditEvent(Output):
    """Something that was done: to a job, a limit, a calendar, to who may come in, or to the service."""

    changeid: int
    at: datetime
    action: ChangeAction
    actor: ActorKind = Field(description="Who did it.")
    client: str | None = Field(description="The user's or the key's name; else the program and its machine.")
    jobid: int | None = Field(description="The job, if it was one.")
    before: dict[str, Any] | None = Field(description="What changed, as it was. Secrets are not kept.")
    after: dict[str, Any] | None = Field(description="The same, as it became.")
