"""How bright pages are."""

from enum import StrEnum


class Theme(StrEnum):
    """How bright pages are; what is not chosen is as the system says."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


def chosen_theme(theme: str | None) -> Theme:
    """What a cookie says; what it cannot mean is left out."""
    return Theme(theme) if theme is not None and theme in set(Theme) else Theme.SYSTEM
