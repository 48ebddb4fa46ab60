"""Making the HTTP requests of due jobs."""
