"""Runs the migrations on the connection that the caller opened (see scheduler_api.database.migrations)."""

from alembic import context

from scheduler_api.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
