"""What Pydantic finds wrong, in sentences for people."""

from pydantic_core import ErrorDetails

from scheduler_api.errors import FLAWS_LIMIT, Flaw, further


def flaws_of(errors: list[ErrorDetails]) -> list[Flaw]:
    """Pydantic's errors as flaws, those that are told. What the client sent is not repeated."""
    flaws = [Flaw(_path(error), _sentence(error)) for error in errors[:FLAWS_LIMIT]]
    return flaws if len(errors) == len(flaws) else [*flaws, further(len(errors) - len(flaws))]


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
            return f"Must be at least {context['min_length']} characters, not counting blanks around them."
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
