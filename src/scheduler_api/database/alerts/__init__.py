"""Statements on what is wrong with jobs, and on who is told of it."""
