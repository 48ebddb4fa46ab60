"""The end of a replica's work, once a newer version of the service has taken over the database."""

from collections.abc import Callable

import structlog

from scheduler_api.errors import ReplicaOutdated

log = structlog.get_logger(__name__)


class Retirement:
    """Ends what was named to it, once."""

    def __init__(self) -> None:
        self._ends: list[Callable[[], None]] = []
        self.reason: str | None = None
        """Why the replica does nothing any more, in a sentence; None: it works."""

    def ends(self, cease: Callable[[], None]) -> None:
        """Call `cease` when it is time, or now."""
        self._ends.append(cease)
        if self.reason is not None:
            cease()

    def retire(self, error: ReplicaOutdated) -> None:
        """It is time."""
        if self.reason is not None:
            return
        self.reason = str(error)
        log.error("this replica is outdated, and changes nothing any more", error=self.reason)
        for cease in self._ends:
            cease()
