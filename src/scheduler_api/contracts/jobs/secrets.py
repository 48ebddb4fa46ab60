"""Secrets: those that sign a job's calls, and those of a project, which the targets of its jobs name."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from scheduler_api.contracts.values import Input, Output, invalid
from scheduler_api.targets import urls

#: Characters of a secret: room for a certificate, its key and its chain.
MAX_SECRET = 32_768


class Secret(Output):
    """A secret that signs a job's requests, without its value."""

    secretid: int
    jobid: int
    createdat: datetime


class NewSecret(Secret):
    """A new secret. Its value is shown only once."""

    secret: str = Field(description="For the receiver. It is not shown again.")


def _origin(value: str) -> str:
    wrong = urls.error_in(value)
    if wrong is None and value.rstrip("/").count("/") > len("//"):
        wrong = "Give the scheme, the host and maybe the port only, such as https://crm.example.com."
    if wrong is not None:
        raise invalid("origin", wrong)
    return urls.origin_of(value)


def _value(value: str) -> str:
    if "\0" in value or not value.strip() or any("\ud800" <= character <= "\udfff" for character in value):
        raise invalid("secret", "Must not be empty, nor contain the character NUL or unpaired surrogates.")
    return value


class ProjectSecretDraft(Input):
    """A secret of a project, as a client writes it."""

    model_config = ConfigDict(
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"origin": "https://crm.example.com", "value": "Bearer …"}]},
    )

    origin: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=2000), AfterValidator(_origin)
    ] = Field(
        description="Scheme, host and port of the only place where it is sent, such as "
        "`https://crm.example.com`."
    )
    value: Annotated[str, StringConstraints(max_length=MAX_SECRET), AfterValidator(_value)] = Field(
        description="What it is: the whole value of a header; a certificate with its private key, or "
        "certificates of authorities, as PEM; the secret of an OAuth 2.0 client. No answer contains it."
    )


class ProjectSecret(Output):
    """A secret of a project, without its value."""

    name: str
    project: str
    origin: str = Field(description="Scheme, host and port of the only place where it is sent.")
    generated: bool = Field(
        description="Whether it was the value of a header of a job. It is removed when no job names it."
    )
    createdat: datetime
    changedat: datetime
    jobs: int = Field(description="How many jobs name it.")
