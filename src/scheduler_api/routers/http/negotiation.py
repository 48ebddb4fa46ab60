"""JSON or HTML: one pure rule, used for every answer that comes in both."""

from enum import StrEnum


class Media(StrEnum):
    """What a negotiated answer may be."""

    JSON = "application/json"
    HTML = "text/html"


def preferred(accept: str | None) -> Media:
    """HTML for those who ask for it by name and prefer it; JSON for all others.

    `*/*`, `text/*` and no header at all mean JSON: scripts rarely say what they want, browsers do.
    A tie goes to the type that comes first.
    """
    if not accept:
        return Media.JSON
    html = json = 0.0
    html_first = False
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = _quality(parameters)
        if name in {"text/html", "application/xhtml+xml"} and quality > html:
            html, html_first = quality, not json
        elif name in {"application/json", "application/problem+json"} and quality > json:
            json = quality
    return Media.HTML if html > json or (html == json and html > 0 and html_first) else Media.JSON


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
