"""Jobs: drafts, representations, and what is asked of them."""
