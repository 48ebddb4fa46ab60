"""Letting people and programs in: users, their sessions, and keys."""
