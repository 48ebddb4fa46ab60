"""A mark in the log of the server, for answers that rest on what others have written.

A commit that writes nothing waits for nobody. But what it has read may be committed here only, and not yet
at the standbys that the server was told to wait for: a failover would take it away. A commit that leaves a
mark waits for the mark, and so for all that was written before it.
"""

from scheduler_api.database.statements import Session, Statement

LEAVE = Statement("SELECT pg_logical_emit_message(true, 'scheduler', '')")


async def leave(session: Session) -> None:
    """Let the commit wait until all is safe that this transaction has seen."""
    await session.all(LEAVE)
