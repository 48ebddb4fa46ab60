"""What this replica says of itself."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scheduler_api.services.runs.retention import Keep
from scheduler_api.services.system.troubles import Replica
from scheduler_api.workers.delivery.deliverer import Deliverer
from scheduler_api.workers.ticker import Ticker


class SelfReport(NamedTuple):
    """Asks the parts of a replica."""

    name: str
    keep: Keep
    folder: Path | None
    """Of its embedded server; None: it has none."""
    deliverer: Deliverer
    ticker: Ticker | None
    """None: it runs nothing by itself."""

    def replica(self, alerting: Sequence[str], *, paused: bool) -> Replica:
        """What they and the loops of alerts say.

        `paused`: it waits until somebody confirms that the database was restored.
        """
        reported = [] if self.ticker is None else [*self.ticker.issues, *alerting]
        reported += [issue for issue in self.deliverer.issues.values() if issue is not None]
        return Replica(
            self.name,
            reported,
            paused,
            self.deliverer.crowded,
            self.keep.time,
            self.keep.exported,
            None if self.folder is None else shutil.disk_usage(self.folder).free,
        )
