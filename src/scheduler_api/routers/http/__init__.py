"""What all resources share: who comes in, what bodies, queries and headers say, and how answers are put."""
