"""Statements on jobs."""
