"""A job scheduler service that needs nothing but Postgres."""

__version__ = "0.1.0"
