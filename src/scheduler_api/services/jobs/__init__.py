"""Jobs: created, edited, deleted, paused and resumed, and locked for all of it."""
