"""How many statements a database was sent, by the server's own count."""

from typing import Any

#: At the start of the server: it is ready to count, and does so for no one that has not asked.
SERVER_SETTINGS = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "none"}
#: For a connection that looks on.
UNCOUNTED = {"pg_stat_statements.track": "none"}

#: But for what the server asks itself when it counts the words of jobs, for the index of these.
COUNT = """
    SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND query NOT LIKE '%concat_ws(%jobname%'
"""


async def is_counting_possible(connection: Any) -> bool:
    """Whether this server was started so; one that the environment names may not be."""
    return "pg_stat_statements" in await connection.fetchval("SHOW shared_preload_libraries")


async def begin_to_count(connection: Any) -> None:
    """Count from now on what new connections to this database send, BEGIN and COMMIT included."""
    name = await connection.fetchval("SELECT quote_ident(current_database())")
    await connection.execute("CREATE EXTENSION pg_stat_statements")
    await connection.execute(f"ALTER DATABASE {name} SET pg_stat_statements.track = 'top'")
    await connection.execute("SELECT pg_stat_statements_reset()")


async def counted(connection: Any) -> int:
    """The statements so far."""
    count: int = await connection.fetchval(COUNT)
    return count
