"""The secrets that sign a job's calls."""

from datetime import datetime

from pydantic import BaseModel, Field


class Secret(BaseModel):
    """A secret that signs a job's calls, but for what it is."""

    secretid: int
    jobid: int
    createdat: datetime


class NewSecret(Secret):
    """A new secret, shown this once."""

    secret: str = Field(description="To be kept by the receiver. It cannot be shown again.")
