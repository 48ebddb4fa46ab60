"""How pages look, as a reader chooses."""

from enum import StrEnum
from typing import TypeVar

Look = TypeVar("Look", bound=StrEnum)


class Theme(StrEnum):
    """How bright pages are; what is not chosen is as the system says."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


class Density(StrEnum):
    """How much room a row of a list takes."""

    COMPACT = "compact"
    COMFORTABLE = "comfortable"


def chosen_look(usual: Look, text: str | None) -> Look:
    """What a cookie says; what it cannot mean is as usual."""
    kind = type(usual)
    return kind(text) if text is not None and text in set(kind) else usual
