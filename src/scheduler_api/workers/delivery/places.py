"""The places of a replica: which claimed runs have one, and which wait for one."""

from collections import deque
from collections.abc import Iterator

from scheduler_api.database.runs.claims import Started
from scheduler_api.services.runs.shares import PerReach, Reach, Room, thresholds
from scheduler_api.workers.delivery.thrift import Thrift


class Places:
    """As many calls at once as there are places, some of them only for runs that reach so far."""

    def __init__(self, count: int) -> None:
        self._limits = thresholds(count)
        self.thrift = Thrift(count)
        """Fewer places for a while, where there are no file descriptors for more."""
        # Claimed runs that wait for a place, by their reach; each queue in the order of the claims.
        self._queues: dict[Reach, deque[tuple[int, Started]]] = {reach: deque() for reach in Reach}
        self._queued = 0
        self.calling = 0
        """How many calls are in progress."""

    @property
    def _thresholds(self) -> PerReach:
        limit = self.thrift.limit
        if limit >= self._limits[Reach.NEWCOMER]:
            return self._limits
        first, second, third, fourth = (min(each, limit) for each in self._limits)
        return first, second, third, fourth

    @property
    def waiting(self) -> int:
        """How many claimed runs wait for a place."""
        return sum(map(len, self._queues.values()))

    def room(self, ahead: int) -> Room:
        """How many runs more to claim, if up to `ahead` may wait for a place that they may have.

        Those that wait take what they reach: a place that is kept for others is free, however many wait.
        """
        limits, taken = self._thresholds, self.calling
        if not limits[Reach.NEWCOMER]:
            return Room.of(0)
        for reach, queue in self._queues.items():
            taken = max(taken, min(taken + len(queue), limits[reach]))
        without = self.calling + self.waiting - taken
        more = max(0, ahead - without)
        first, second, third, fourth = (max(0, limit - taken + more) for limit in limits)
        return Room((first, second, third, fourth), ahead=more)

    def put(self, started: Started, reach: Reach) -> None:
        """Let a claimed run wait for a place that it may have."""
        self._queued += 1
        self._queues[reach].append((self._queued, started))

    def take(self) -> Started | None:
        """The next run that waits and may have a place, the one that has waited longest first; None: none."""
        if not any(self._queues.values()):
            return None
        limits = self._thresholds
        ready = [queue for reach, queue in self._queues.items() if queue and self.calling < limits[reach]]
        return min(ready, key=lambda queue: queue[0][0]).popleft()[1] if ready else None

    def empty(self) -> Iterator[Started]:
        """All that wait; they do so no more."""
        for queue in self._queues.values():
            while queue:
                yield queue.popleft()[1]
