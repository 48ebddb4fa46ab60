"""The loops that notice and tell, begun and stopped together."""

import asyncio

from scheduler_api.workers.alerting.sender import Sender
from scheduler_api.workers.alerting.watcher import Watcher


class Alerting:
    """One notices what no result tells of, one tells channels of it."""

    def __init__(self, sender: Sender, watcher: Watcher) -> None:
        self._sender, self._watcher = sender, watcher

    def start(self) -> None:
        """Begin, in the background."""
        self._sender.loop.start()
        self._watcher.loop.start()

    def cease(self) -> None:
        """Take nothing new."""
        self._sender.loop.cease()
        self._watcher.loop.cease()

    async def stop(self) -> None:
        """Take nothing new, finish what is in progress, and end."""
        self.cease()
        await asyncio.gather(self._sender.stop(), self._watcher.loop.stop())

    @property
    def standstill(self) -> list[str]:
        """What makes no progress at the moment, as sentences."""
        loops = self._sender.loop, self._watcher.loop
        return [why for why in (loop.standstill for loop in loops) if why is not None]
