"""Telling browsers that something has changed, whichever replica changed it.

What changed is not told: a page looks again. So news may be lost, come twice, or stand for many; all that
is promised is that after a change, somebody hears of it about a second later.
"""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from ipaddress import IPv4Address, IPv6Network, ip_address

import structlog

from scheduler_api.database.engine import Database
from scheduler_api.database.failures import explain
from scheduler_api.database.runs import pending
from scheduler_api.errors import TooManyReaders

log = structlog.get_logger(__name__)

#: Seconds between two notifications: transactions that notify commit one after the other, so the runs
#: themselves must not do it.
PAUSE = 1.0
#: How many may follow the news of one replica, and how many of them from one address.
READERS_LIMIT, ADDRESS_LIMIT = 200, 20


class News:
    """What is new, from all replicas to all readers of this one."""

    def __init__(self, database: Database, readers: int = READERS_LIMIT) -> None:
        self._database = database
        self._readers = Readers(readers)
        self._untold = asyncio.Event()
        # How often something was heard: whoever was busy meanwhile sees that he missed something.
        self._count = 0
        self._heard = asyncio.Event()
        # Counts are told apart from those of other replicas, and of earlier lives.
        self._life = secrets.token_hex(4)
        self._closed = False

    def tell(self) -> None:
        """Something has changed here."""
        self._untold.set()

    async def spread(self) -> None:
        """Tell all replicas, this one too, until cancelled."""
        while True:
            await self._untold.wait()
            self._untold.clear()
            try:
                await self._database.read(pending.spread_news)
            except Exception as error:  # nothing may end the loop
                log.debug("news are not spread", error=explain(error))
            await asyncio.sleep(PAUSE)

    def hear(self) -> None:
        """Something has changed somewhere."""
        self._count += 1
        self._heard.set()
        self._heard = asyncio.Event()

    @property
    def mark(self) -> str:
        """How far the news have come here; what is made after it needs no news of before."""
        return f"{self._life}-{self._count}"

    def close(self) -> None:
        """End all streams: the service stops."""
        self._closed = True
        self.hear()

    def reading(self, address: str) -> AbstractContextManager[None]:
        """Whoever follows the news has to be in this. Entering it raises TooManyReaders."""
        return self._readers.reading(address)

    async def follow(self, beat: float, since: str | None = None) -> AsyncIterator[bool]:
        """True whenever something has changed; False when nothing has for `beat` seconds.

        True at once if anything has since a mark, as far as is known here.
        """
        seen = self._count - (since is not None and since != self.mark)
        while not self._closed:
            if seen == self._count:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(beat):
                        await self._heard.wait()
            if not self._closed:
                changed, seen = seen != self._count, self._count
                yield changed


class Readers:
    """Who follows the news: at most `limit`, and so few of each address that there is room for others."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._each = max(1, min(ADDRESS_LIMIT, limit // 2))
        self._readers: Counter[str] = Counter()

    @contextlib.contextmanager
    def reading(self, address: str) -> Iterator[None]:
        """One more, until the end of this. Raises TooManyReaders."""
        key = _network(address)
        if self._readers.total() >= self._limit:
            raise TooManyReaders("Too many pages follow this replica; look again by yourself.")
        if self._readers[key] >= self._each:
            raise TooManyReaders(
                f"At most {self._each} pages of one address follow this replica; look again by yourself."
            )
        self._readers[key] += 1
        try:
            yield
        finally:
            self._readers[key] -= 1
            if not self._readers[key]:
                del self._readers[key]


def _network(address: str) -> str:
    """What counts as one address: of IPv6, what one customer gets."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Network((int(parsed), 64), strict=False))
