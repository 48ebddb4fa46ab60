"""What was measured, against what must be reached, as a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple


class Target(NamedTuple):
    """What a median must reach."""

    words: str
    is_met_by: Callable[[float], bool]


def at_least(bound: float, unit: str = "") -> Target:
    return Target(f"≥ {bound:g}{unit}", lambda value: value >= bound)


def at_most(bound: float, unit: str = "") -> Target:
    return Target(f"≤ {bound:g}{unit}", lambda value: value <= bound)


def below(bound: float, unit: str = "") -> Target:
    return Target(f"< {bound:g}{unit}", lambda value: value < bound)


def exactly(bound: float, unit: str = "") -> Target:
    return Target(f"= {bound:,g}{unit}".replace(",", " "), lambda value: value == bound)


@dataclass(frozen=True)
class Row:
    """One figure of all repetitions. What carries no target stands there to be read."""

    what: str
    values: Sequence[float]
    unit: str = ""
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.target.is_met_by(median(self.values))

    def cells(self) -> list[str]:
        spread = (min(self.values), median(self.values), max(self.values))
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        must = "" if self.target is None else self.target.words
        return [self.what, *(_shown(value) for value in spread), self.unit, must, verdict]


@dataclass
class Results:
    """The rows of every part, in order, and what they were measured on."""

    where: Sequence[str] = ()
    parts: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, part: str, rows: Sequence[Row]) -> None:
        self.parts[part] = list(rows)

    @property
    def missed(self) -> list[str]:
        return [
            f"{part}: {row.what}" for part, rows in self.parts.items() for row in rows if row.met is False
        ]


HEADINGS = ["", "min", "median", "max", "", "must be", ""]
#: Numbers stand to the right, words to the left.
TO_THE_RIGHT = {1, 2, 3}


def as_text(part: str, rows: Sequence[Row]) -> str:
    """One part, for a terminal."""
    cells = [[part, *HEADINGS[1:]], *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(_aligned(cell, widths[column], column) for column, cell in enumerate(line)).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])


def as_markdown(results: Results) -> str:
    """Every part, for a page, under what the figures depend on."""
    columns = "|".join("--:" if column in TO_THE_RIGHT else "---" for column in range(len(HEADINGS)))
    sections = []
    for part, rows in results.parts.items():
        lines = ["| " + " | ".join(row.cells()) + " |" for row in rows]
        heading = "| " + " | ".join(HEADINGS) + " |"
        sections.append("\n".join([f"## {part}", "", heading, f"|{columns}|", *lines]))
    return "\n\n".join(["# Benchmarks", "\n".join(f"- {line}" for line in results.where), *sections]) + "\n"


def ratios(values: Sequence[float], yardsticks: Sequence[float]) -> list[float]:
    """Repetition by repetition: what ran side by side is compared, and no noisy minute with a quiet one."""
    return [value / yardstick for value, yardstick in zip(values, yardsticks, strict=True)]


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in TO_THE_RIGHT else cell.ljust(width)


def _shown(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
