"""Rows as arrays, of which `unnest` makes rows again."""

from collections.abc import Sequence
from typing import Any


def as_arrays(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """Rows as a statement with `unnest` wants them: a list for each of their first columns, by its name.

    One in which nothing stands is empty: `unnest` fills it up, and to send it takes time.
    """
    found = map(list, zip(*rows, strict=True)) if rows else ([] for _ in names)
    some = ([] if column.count(None) == len(column) else column for column in found)
    return dict(zip(names, some, strict=False))
