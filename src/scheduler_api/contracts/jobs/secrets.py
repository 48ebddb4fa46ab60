"""The secrets that sign a job's calls."""

from datetime import datetime

from pydantic import Field

from scheduler_api.contracts.values import Output


class Secret(Output):
    """A secret that signs a job's requests, without its value."""

    secretid: int
    jobid: int
    createdat: datetime


class NewSecret(Secret):
    """A new secret. Its value is shown only once."""

    secret: str = Field(description="For the receiver. It is not shown again.")
