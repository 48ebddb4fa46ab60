"""Pages: view models, templates and static files."""
