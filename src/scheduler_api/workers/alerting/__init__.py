"""Loops that notice what does not happen, and tell people of what is wrong."""
