"""Noticing what is wrong with jobs, and telling people."""
