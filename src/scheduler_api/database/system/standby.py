"""How far a standby has followed: what it has replayed of what the primary has written."""

from typing import NamedTuple

from scheduler_api.database.statements import Session, Statement

_POSITION = "CAST(pg_wal_lsn_diff({lsn}, '0/0') AS bigint) AS position"
#: Which database this is, whatever it is called: the same on both.
_INSTALLATION = "(SELECT mark || ' ' || writer FROM installation) AS installation"


class LogPosition(NamedTuple):
    """How far the log of changes goes."""

    position: int | None
    """In bytes; None: the server is no standby."""
    installation: str | None


#: All that is committed by now comes before.
WRITTEN = Statement(
    f"SELECT {_POSITION.format(lsn='pg_current_wal_flush_lsn()')}, {_INSTALLATION}", LogPosition
)
REPLAYED = Statement(
    f"""
    SELECT CASE WHEN pg_is_in_recovery() THEN replayed.position END AS position, installation
    FROM (SELECT {_POSITION.format(lsn="pg_last_wal_replay_lsn()")}, {_INSTALLATION}) AS replayed
    """,
    LogPosition,
)


async def written(session: Session) -> LogPosition:
    """How far a primary has written."""
    return await session.one(WRITTEN)


async def replayed(session: Session) -> LogPosition:
    """How far a standby has replayed that."""
    return await session.one(REPLAYED)
