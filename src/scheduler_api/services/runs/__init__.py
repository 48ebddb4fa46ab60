"""Runs: what is due is claimed, started, settled, tried again, repaired."""
