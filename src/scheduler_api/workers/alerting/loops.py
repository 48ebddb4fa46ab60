"""The loops that notice and tell, begun and stopped together."""

import asyncio

from scheduler_api.workers.alerting.sender import Sender
from scheduler_api.workers.alerting.watcher import Watcher
from scheduler_api.workers.loops import Loop


class Alerting:
    """One notices what no result tells of, one tells channels of it."""

    def __init__(self, sender: Sender, watcher: Watcher) -> None:
        self._sender, self._watcher = sender, watcher

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
        await asyncio.gather(self._sender.stop(), self._watcher.loop.stop())

    @property
    def standstill(self) -> list[str]:
        """What makes no progress at the moment, as sentences."""
        return [why for loop in self._loops if (why := loop.standstill) is not None]

    @property
    def issues(self) -> list[str]:
        """What is wrong with any of the loops."""
        return [issue for loop in self._loops if (issue := loop.issue) is not None]

    @property
    def _loops(self) -> tuple[Loop, Loop]:
        return self._sender.loop, self._watcher.loop
