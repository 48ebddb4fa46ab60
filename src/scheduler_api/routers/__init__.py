"""HTTP in, representation out."""
