"""What lets a request in at its target: secrets of the project, named where a value would stand."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, StringConstraints, Tag

from scheduler_api.contracts.values import (
    SECRET,
    TEXT,
    Input,
    SecretName,
    clean_text,
    invalid,
    without_defaults,
)
from scheduler_api.targets import urls

#: What stands for the value of a header, which may be a secret.
MASK = "•••"
T = TypeVar("T")


class NamedSecret(Input):
    """A secret of the job's project, by its name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"secret": "crm-token"}]})

    secret: SecretName = Field(description="Its name; see `PUT /projects/{project}/secrets/{secret}`.")


def _tag(value: Any) -> str:
    return SECRET if isinstance(value, Mapping | NamedSecret) else TEXT


HeaderValue = Annotated[
    Annotated[str, Tag(TEXT)] | Annotated[NamedSecret, Tag(SECRET)],
    Discriminator(_tag),
]
"""The value of a header: text, or a secret that is named."""
Headers = dict[str, HeaderValue]


def plain(headers: Mapping[str, HeaderValue]) -> dict[str, str]:
    """Those of the headers whose values are text."""
    return {name: value for name, value in headers.items() if isinstance(value, str)}


def masked(headers: Mapping[str, str | T]) -> dict[str, str | T]:
    """Headers whose values are not shown; secrets are named."""
    return {name: MASK if isinstance(value, str) else value for name, value in headers.items()}


def _token_url(value: str) -> str:
    wrong = urls.error_in(value)
    if wrong is None and "{{" in value:
        wrong = "Write the address out; it takes no placeholders."
    if wrong is not None:
        raise invalid("url", wrong)
    return value


TokenUrl = Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_token_url)]
ClientId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500, pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"),
    AfterValidator(clean_text),
]
#: RFC 6749, section 3.3.
ScopeText = Annotated[
    str,
    StringConstraints(
        max_length=1000, pattern=r"^([\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*)?$"
    ),
]


class OAuth2(Input):
    """Client credentials, for which a token is fetched that each request carries (RFC 6749, section 4.4)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tokenurl": "https://id.example.com/token",
                    "clientid": "scheduler",
                    "clientsecret": {"secret": "crm-client"},
                    "scope": "reports.write",
                }
            ]
        }
    )

    tokenurl: TokenUrl = Field(description="Where tokens are fetched. The secret must be for its origin.")
    clientid: ClientId = Field(description="The client that asks for them.")
    clientsecret: NamedSecret = Field(description="The secret of that client.")
    scope: ScopeText = Field("", description="What the tokens are for, as the provider spells it.")


def _unchanged() -> NamedSecret:
    return NamedSecret(secret="unchanged")  # noqa: S106 - no password


class OAuth2Patch(OAuth2):
    """Changes to client credentials: what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra=lambda schema: without_defaults(schema, {"scope": "reports"}))

    tokenurl: TokenUrl = Field("")
    clientid: ClientId = Field("")
    clientsecret: NamedSecret = Field(default_factory=_unchanged)
