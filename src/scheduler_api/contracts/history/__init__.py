"""What ran, why, and what is to come."""
