"""What everybody did, for those who answer for it."""

from scheduler_api.contracts.access.audit import OBJECTS, AuditEvent
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.jobs import changes
from scheduler_api.database.jobs.changes import ChangeFilter
from scheduler_api.database.statements import Session


async def events(session: Session, wanted: ChangeFilter, before: int, limit: int) -> list[AuditEvent]:
    """Up to `limit` events with a changeid below `before`, newest first."""
    rows = await changes.of_all(session, wanted, before, limit)
    return [
        AuditEvent.model_validate(row._asdict() | {"object": OBJECTS[ChangeAction(row.action)]})
        for row in rows
    ]
