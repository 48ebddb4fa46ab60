"""Everything SQL: the engine, the tables, the statements and the embedded server."""
