"""From when on to look for what is due."""

from datetime import datetime, timedelta
from time import monotonic

from scheduler_api.database.runs.passes import BEGINNING

#: Seconds for which a look relies on an earlier one for what is older, and how far that reaches at most.
FLOOR_SECONDS, FLOOR_MARGIN = 5.0, timedelta(seconds=20)


class Floor:
    """From when on to look for what is due: behind the entries, in the index of due runs, of what has run.

    They go at once, but while somebody else's transaction can still see them: then each look would walk over
    more of them. What is due before the oldest pending run is only what others have asked for since: so it is
    forgotten from time to time, and whenever they tell.
    """

    def __init__(self) -> None:
        self._at = BEGINNING
        self._forget_at = 0.0
        self.version = 0
        """Another one each time that it is forgotten."""

    @property
    def at(self) -> datetime:
        """The instant."""
        if monotonic() >= self._forget_at:
            self.forget()
        return self._at

    def forget(self) -> None:
        """Look for everything the next time."""
        self.version += 1
        self._at = BEGINNING
        self._forget_at = monotonic() + FLOOR_SECONDS

    def saw(self, oldest: datetime, version: int) -> None:
        """A look that began at a `version` saw nothing that was due before `oldest`."""
        # What came meanwhile may not be among it.
        if version == self.version:
            # What is being written may say that it was due a little before.
            self._at = max(self._at, oldest - FLOOR_MARGIN)
