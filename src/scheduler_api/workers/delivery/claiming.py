"""One claim: as a whole, or one by one where the database refuses a call."""

from datetime import datetime

import structlog

from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS, explain, is_of_a_row
from scheduler_api.errors import SchedulerError
from scheduler_api.services.runs import claims
from scheduler_api.services.runs.claims import Claim, Terms
from scheduler_api.services.runs.shares import Room

log = structlog.get_logger(__name__)


async def claim(database: Database, room: Room, terms: Terms, due: datetime | None = None) -> Claim:
    """See calls.claim.

    A savepoint in each claim would cost a tenth of all deliveries: it is only paid for in a second
    transaction, after the first has failed: as the database refused a row, or somebody else holds one.
    """
    try:
        return await database.transact(claims.claim, room, terms, due)
    except (SchedulerError, *DATABASE_ERRORS) as error:
        if not is_of_a_row(error):
            raise
        log.warning("claimed calls do not start as a whole; starting them one by one", error=explain(error))
        return await database.transact(claims.claim, room, terms, due, singly=True)
