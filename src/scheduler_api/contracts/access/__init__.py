"""Users, sessions and keys, as they go in and out."""
