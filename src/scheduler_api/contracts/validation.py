"""What Pydantic finds wrong, in sentences for people."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from scheduler_api.contracts.values import SECRET, TEXT
from scheduler_api.errors import ERRORS_LIMIT, FieldError, further


def field_errors_of(errors: list[ErrorDetails], model: type[BaseModel] | None = None) -> list[FieldError]:
    """Pydantic's errors as field errors: those of names first, as others may follow from them.

    What the client sent is not repeated. Of a `model`, the nearest name is told.
    """
    in_order = sorted(errors, key=lambda error: error["type"] != UNKNOWN)[:ERRORS_LIMIT]
    field_errors = [
        FieldError(
            _path(error), _sentence(error) + (_near(model, error["loc"]) if error["type"] == UNKNOWN else "")
        )
        for error in in_order
    ]
    return (
        field_errors
        if len(errors) == len(field_errors)
        else [*field_errors, further(len(errors) - len(field_errors))]
    )


def _path(error: ErrorDetails) -> tuple[str | int, ...]:
    field = error.get("ctx", {}).get("field")
    place = tuple(step for step in error["loc"] if step not in {TEXT, SECRET})
    return (*place, field) if isinstance(field, str) else place


UNKNOWN = "extra_forbidden"


def _near(model: type[BaseModel] | None, path: tuple[str | int, ...]) -> str:
    """For a field that there is not: which one may be meant."""
    inside = model
    for step in path[:-1]:
        field = None if inside is None else inside.model_fields.get(str(step))
        inside = None if field is None else next(_models_in(field.annotation), None)
    if inside is None or str(path[-1]) in inside.model_fields:
        return ""
    near = get_close_matches(str(path[-1]), inside.model_fields, 1)
    return f" Did you mean `{near[0]}`?" if near else ""


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


SENTENCES = {
    "missing": "Is required.",
    UNKNOWN: "There is no such field.",
    "string_type": "Must be a string.",
    "int_type": "Must be an integer.",
    "int_parsing": "Must be an integer.",
    "int_parsing_size": "Is too large.",
    "int_from_float": "Must be an integer.",
    "bool_type": "Must be true or false.",
    "bool_parsing": "Must be true or false.",
    "list_type": "Must be a list.",
    "dict_type": "Must be an object.",
    "float_parsing": "Must be a number.",
    "float_type": "Must be a number.",
    "model_type": "The body must be a JSON object.",
}


def _sentence(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "string_too_short":
            return f"Must be at least {context['min_length']} characters, not counting surrounding spaces."
        case "string_too_long":
            return f"Must be at most {context['max_length']} characters."
        case "greater_than_equal":
            return f"Must be at least {context['ge']}."
        case "less_than_equal":
            return f"Must be at most {context['le']}."
        case "enum":
            return f"Must be one of {context['expected']}."
        case kind:
            return SENTENCES.get(kind, error["msg"])
