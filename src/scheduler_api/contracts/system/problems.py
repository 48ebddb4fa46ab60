"""Errors, as programs get them (RFC 9457)."""

from pydantic import BaseModel, Field


class InvalidField(BaseModel):
    """One thing that is wrong with the input."""

    pointer: str = Field(description="Where: a JSON pointer into the body, or `?name` for a query parameter.")
    detail: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str = Field(description="A stable name of the error.")
    errors: list[InvalidField] | None = Field(
        None, description="What is wrong with the input: the first 50, then one that says how many more."
    )
