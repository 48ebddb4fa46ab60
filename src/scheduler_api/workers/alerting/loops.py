"""The loops that notice and tell, begun and stopped together."""

import asyncio

from scheduler_api.database.engine import Database
from scheduler_api.services.system.troubles import Replica
from scheduler_api.workers.alerting.sender import Sender
from scheduler_api.workers.alerting.service_watcher import ServiceWatcher
from scheduler_api.workers.alerting.watcher import Watcher
from scheduler_api.workers.loops import Loop
from scheduler_api.workers.self_report import SelfReport


class Alerting:
    """One notices what no result tells of, one what is wrong with the service, one tells channels of it."""

    def __init__(self, database: Database, sender: Sender, report: SelfReport) -> None:
        self._sender, self._report = sender, report
        self._watcher, self._service = Watcher(database), ServiceWatcher(database, self.replica)

    def start(self) -> None:
        """Begin, in the background."""
        for loop in self._loops:
            loop.start()

    def cease(self) -> None:
        """Take nothing new."""
        for loop in self._loops:
            loop.cease()

    async def stop(self) -> None:
        """Take nothing new, finish what is in progress, and end."""
        self.cease()
        await asyncio.gather(self._sender.stop(), self._watcher.loop.stop(), self._service.loop.stop())

    def replica(self, *, paused: bool = False) -> Replica:
        """What this replica says of itself; `paused`: it waits until a restore is confirmed."""
        return self._report.replica(self.issues, paused=paused)

    @property
    def standstill(self) -> list[str]:
        """What makes no progress at the moment, as sentences."""
        return [why for loop in self._loops if (why := loop.standstill) is not None]

    @property
    def issues(self) -> list[str]:
        """What is wrong with any of the loops."""
        return [issue for loop in self._loops if (issue := loop.issue) is not None]

    @property
    def _loops(self) -> tuple[Loop, ...]:
        return self._sender.loop, self._watcher.loop, self._service.loop
