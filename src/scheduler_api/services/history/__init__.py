"""History: what ran, why, and whether all is there; and the same of what is to come."""
