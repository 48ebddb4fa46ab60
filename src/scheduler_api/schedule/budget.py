"""How much a loop over occurrences may do."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def _never() -> bool:
    return False


class Budget:
    """So many instants, and as long as nobody says that it is enough. It knows no clock of its own.

    From the first refusal on everything is refused: what was made by then is all there is, and whoever
    tells of it says that it was cut short.
    """

    __slots__ = ("_is_over", "_left", "is_spent")

    def __init__(self, instants: int, is_over: Callable[[], bool] = _never) -> None:
        self._left = instants
        self._is_over = is_over
        self.is_spent = False
        """Whether something was refused."""

    def allows(self, instants: int = 1) -> bool:
        """Take so many instants; whether they may be looked at."""
        self._left -= instants
        self.is_spent = self.is_spent or self._left < 0 or self._is_over()
        return not self.is_spent

    def within(self, items: Iterable[T]) -> Iterator[T]:
        """The items, one instant each, up to where the budget ends."""
        for item in items:
            if not self.allows():
                return
            yield item
