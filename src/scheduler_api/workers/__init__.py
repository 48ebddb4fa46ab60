"""Loops that run in every replica, for as long as it lives."""
