"""The change feed: tells browsers that something has changed, whichever replica changed it.

It does not tell what: a page looks again. So a notification may be lost, come twice, or stand for many
changes; all that is promised is that one arrives about a second after a change.
"""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from time import monotonic

from scheduler_api.database.engine import Database
from scheduler_api.database.jobs import definitions
from scheduler_api.database.runs import pending
from scheduler_api.errors import TooManyStreams
from scheduler_api.workers.addresses import network_of, place_of
from scheduler_api.workers.loops import Loop

#: Seconds between two notifications: transactions that notify commit one after the other, so the runs
#: themselves must not do it.
PAUSE = 1.0
#: Seconds to sleep while nothing changes.
IDLE = 60.0
#: Seconds between two questions whether the database is there, and for an answer.
PROBE = 1.5
#: How many may subscribe at one replica, and how many of them from one address.
SUBSCRIBERS_LIMIT, ADDRESS_LIMIT = 200, 20


class ChangeFeed:
    """Passes changes on, from all replicas to the subscribers of this one."""

    def __init__(self, database: Database, subscribers: int = SUBSCRIBERS_LIMIT) -> None:
        self._database = database
        self._subscribers = Subscribers(subscribers)
        self._is_unpublished = False
        self._next = 0.0
        # How often a change was received: a subscriber that was busy meanwhile sees that it missed one.
        self._count = 0
        self._received = asyncio.Event()
        # Counts are told apart from those of other replicas, and of earlier lives.
        self._life = secrets.token_hex(4)
        self._closed = False
        self._is_current = True
        self.loop = Loop("change feed", self._notify, IDLE, PAUSE)
        self.probe = Loop("change feed's probe", self._ask, PROBE, PAUSE)

    def publish(self) -> None:
        """Something has changed here; returns at once."""
        self._is_unpublished = True
        self.loop.hasten(self._next - monotonic())

    async def _notify(self) -> float:
        """Notify all replicas of what is published here, this one too."""
        if self._is_unpublished:
            self._is_unpublished = False
            self._next = monotonic() + PAUSE
            await self._database.read(pending.publish_changes)
        return IDLE

    async def _ask(self) -> float:
        """See that the database answers, as long as anybody follows: else changes would not be heard of."""
        if self._subscribers.is_empty:
            self._is_current = True
            return PROBE
        try:
            async with asyncio.timeout(PROBE):
                await self._database.read(definitions.clock)
        except Exception:
            self._is_current = False
        else:
            self._is_current = True
        return PROBE

    @property
    def is_current(self) -> bool:
        """Whether a change would have been heard of by now."""
        return self._is_current

    def receive(self) -> None:
        """A replica, maybe this one, has published a change."""
        self._count += 1
        self._received.set()
        self._received = asyncio.Event()

    @property
    def mark(self) -> str:
        """The place of the newest change known here. What is read after it misses no earlier one."""
        return f"{self._life}-{self._count}"

    def close(self) -> None:
        """End all streams: the service stops."""
        self._closed = True
        self.receive()

    def subscribing(self, address: str) -> AbstractContextManager[None]:
        """Takes one of the places for subscribers while it is entered; entering raises TooManyStreams."""
        return self._subscribers.subscribing(address)

    async def subscribe(self, beat: float, since: str | None = None) -> AsyncIterator[bool]:
        """True whenever something has changed; False when nothing has for `beat` seconds.

        True at once if anything has since a mark, as far as is known here.
        """
        seen = self._count - (since is not None and since != self.mark)
        while not self._closed:
            if seen == self._count:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(beat):
                        await self._received.wait()
            if not self._closed:
                changed, seen = seen != self._count, self._count
                yield changed


class Subscribers:
    """The places for subscribers: `limit` of them, shared so that no address can take them all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._each = max(1, min(ADDRESS_LIMIT, limit // 2))
        self._places: Counter[str] = Counter()

    @property
    def is_empty(self) -> bool:
        """Whether there are none."""
        return not self._places

    @contextlib.contextmanager
    def subscribing(self, address: str) -> Iterator[None]:
        """One more, while it is entered. Raises TooManyStreams."""
        place = place_of(address)
        key = address if place is None else network_of(place)
        if self._places.total() >= self._limit:
            raise TooManyStreams("This replica has too many event stream clients; poll instead.")
        if self._places[key] >= self._each:
            raise TooManyStreams(
                f"This replica accepts at most {self._each} event streams from one address; poll instead."
            )
        self._places[key] += 1
        try:
            yield
        finally:
            self._places[key] -= 1
            if not self._places[key]:
                del self._places[key]
