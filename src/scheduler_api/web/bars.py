"""Small pictures, put together on the server: where the time of a call went."""

from collections.abc import Mapping
from itertools import accumulate
from typing import NamedTuple

from scheduler_api.wording.runs import PHASES

#: The width of a whole picture, in units of its own.
WIDTH = 100.0
#: What is thinner is not to be seen.
THINNEST = 0.5
#: Milliseconds; what is left of the whole is only shown if it is more.
LEAST_REST = 0.05


class Phase(NamedTuple):
    """A part of a call, and its place in the picture."""

    name: str
    said: str
    length: float
    """Milliseconds."""
    share: int
    """Of the call, in percent."""
    x: float
    width: float


def phases(timing: Mapping[str, float], longest: float = 0.0) -> list[Phase]:
    """The phases of a call in order; a picture is as wide as `longest` milliseconds, or the whole call."""
    lengths = {name: max(0.0, timing[name]) for name in PHASES if name in timing}
    rest = timing.get("total", 0.0) - sum(lengths.values())
    if rest >= LEAST_REST:
        lengths["rest" if "firstbyte" in timing else "wait"] = rest
    whole = sum(lengths.values()) or 1.0
    scale = WIDTH / max(longest, whole)
    starts = accumulate(lengths.values(), initial=0.0)
    return [
        Phase(
            name,
            PHASES[name],
            length,
            round(100 * length / whole),
            round(start * scale, 2),
            round(max(length * scale, THINNEST), 2),
        )
        for (name, length), start in zip(lengths.items(), starts, strict=False)
    ]
