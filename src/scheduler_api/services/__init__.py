"""The verbs: they take `(session, now, …)`, never commit, and know no HTTP."""
