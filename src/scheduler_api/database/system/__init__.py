"""Statements on the service as a whole."""
