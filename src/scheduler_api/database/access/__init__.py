"""Statements on who may come in: users with their sessions, and keys."""
