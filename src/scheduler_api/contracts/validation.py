"""What Pydantic finds wrong, in sentences for people."""

from pydantic_core import ErrorDetails

from scheduler_api.errors import ERRORS_LIMIT, FieldError, further


def field_errors_of(errors: list[ErrorDetails]) -> list[FieldError]:
    """Pydantic's errors as field errors. What the client sent is not repeated."""
    field_errors = [FieldError(_path(error), _sentence(error)) for error in errors[:ERRORS_LIMIT]]
    return (
        field_errors
        if len(errors) == len(field_errors)
        else [*field_errors, further(len(errors) - len(field_errors))]
    )


def _path(error: ErrorDetails) -> tuple[str | int, ...]:
    field = error.get("ctx", {}).get("field")
    return (*error["loc"], field) if isinstance(field, str) else tuple(error["loc"])


SENTENCES = {
    "missing": "Is required.",
    "extra_forbidden": "There is no such field.",
    "string_type": "Must be a string.",
    "int_type": "Must be an integer.",
    "int_parsing": "Must be an integer.",
    "int_parsing_size": "Is too large.",
    "int_from_float": "Must be an integer.",
    "bool_type": "Must be true or false.",
    "bool_parsing": "Must be true or false.",
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
