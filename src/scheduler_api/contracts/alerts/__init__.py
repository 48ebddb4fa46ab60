"""What is wrong with jobs, and who is told of it."""
