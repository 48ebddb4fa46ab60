"""What migrations call that older code cannot work with."""

from datetime import timedelta

from alembic import op
from sqlalchemy import text

from scheduler_api.database.versions import WRITERS_KEY
from scheduler_api.errors import ReplicasInTheWay

#: For how long a replica that was seen may still be there, and only be cut off. It says every thirty seconds
#: that it is there, and when it goes.
PRESENCE = timedelta(minutes=3)


def outdate(version: int) -> None:
    """Let no code of a schema version before that one write any more, from this migration on.

    What it has begun to write is written. Raises ReplicasInTheWay while a replica of such code is there.
    """
    connection = op.get_bind()
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITERS_KEY})
    if connection.execute(text("SELECT to_regclass('replica')")).scalar_one() is not None:
        seen = text(
            "SELECT name, version FROM replica"
            " WHERE version < :version AND seenat > now() - CAST(:presence AS interval) ORDER BY name"
        )
        older = connection.execute(seen, {"version": version, "presence": PRESENCE}).all()
        if older:
            raise ReplicasInTheWay(version, [row.name for row in older])
    connection.execute(text("UPDATE schemaversion SET compatiblefrom = :version"), {"version": version})
