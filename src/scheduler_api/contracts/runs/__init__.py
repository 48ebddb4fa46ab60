"""Runs: logs, attempts, reports."""
