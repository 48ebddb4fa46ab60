"""The service as a whole: how it does, its limits, its restores."""
