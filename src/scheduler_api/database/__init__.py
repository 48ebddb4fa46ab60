"""Everything SQL: units of work, the tables, and the statements on each subject."""
