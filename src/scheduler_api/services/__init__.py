"""The verbs: they take `(session, now, …)`, flush, never commit, and know no HTTP."""
