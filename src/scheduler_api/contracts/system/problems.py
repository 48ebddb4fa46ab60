"""Errors, as programs get them (RFC 9457)."""

from typing import Any

from pydantic import ConfigDict, Field, model_validator

from scheduler_api.contracts.values import Output

#: Errors that HTTP itself knows, by status: code and title. Python's own names and phrases of statuses differ
#: between its versions.
OF_HTTP = {
    400: ("bad_request", "Bad request."),
    403: ("forbidden", "Forbidden."),
    404: ("not_found", "Not found."),
    405: ("method_not_allowed", "Method not allowed."),
    408: ("request_timeout", "Request timed out."),
    413: ("content_too_large", "Body too large."),
    415: ("unsupported_media_type", "Unsupported content type."),
    431: ("request_header_fields_too_large", "Headers too large."),
    503: ("service_unavailable", "Service unavailable."),
}


class InvalidField(Output):
    """One thing that is wrong with the input."""

    pointer: str = Field(description="Where: a JSON pointer into the body, or `?name` for a query parameter.")
    detail: str


class ProblemKind(Output):
    """A kind of error: what it means, and what to do about it."""

    code: str
    title: str
    status: int = Field(description="The status of the answers that report it.")
    advice: str = Field(description="What to do about it.")


def _without_errors(schema: dict[str, Any]) -> None:
    """Only where something is wrong with the input is it listed."""
    schema["required"] = [name for name in schema["properties"] if name != "errors"]


class Problem(Output):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(json_schema_extra=_without_errors)

    type: str = Field("", description="The address of what is known about this kind of error.")
    title: str
    status: int
    detail: str
    code: str = Field(description="A stable name of the error.")
    errors: list[InvalidField] | None = Field(
        None, description="What is wrong with the input: the first 50, then one that says how many more."
    )

    @model_validator(mode="after")
    def _has_an_address(self) -> "Problem":
        self.type = f"/problems/{self.code}"
        return self
