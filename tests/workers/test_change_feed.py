"""News: whoever changes something, every page hears of it; and nobody pays for that in passes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import URL

from scheduler_api.database.connections import PoolOptions
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import pending
from scheduler_api.database.runs.pending import CHANGES
from scheduler_api.database.statements import Session
from scheduler_api.errors import TooManyStreams
from scheduler_api.routers.http.publishing import Publishing
from scheduler_api.workers import change_feed
from scheduler_api.workers.change_feed import ChangeFeed, Subscribers
from scheduler_api.workers.listener import listener


@contextlib.asynccontextmanager
async def replica(database: Database) -> AsyncIterator[ChangeFeed]:
    """One replica's change feed, with its listener."""
    feed = ChangeFeed(database)
    loops = (listener(database, {CHANGES: feed.receive}), feed.loop)
    for loop in loops:
        loop.start()
    yield feed
    for loop in loops:
        await loop.cancel()


async def received(feed: ChangeFeed, publisher: ChangeFeed) -> bool:
    """Whether `feed` receives what `publisher` publishes, again and again until it listens."""
    changes = feed.subscribe(0.2)
    try:
        while True:
            publisher.publish()
            async with asyncio.timeout(30):
                if await anext(changes):
                    return True
    finally:
        await changes.aclose()  # type: ignore[attr-defined]  # a generator


async def test_every_replica_receives_a_change(direct: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_feed, "PAUSE", 0.01)
    async with replica(direct) as one, replica(direct) as other:
        assert await received(other, publisher=one)
        assert await received(one, publisher=one)


async def test_many_changes_are_published_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    published = 0
    real = pending.publish_changes

    async def publish(session: Session) -> None:
        nonlocal published
        published += 1
        await real(session)

    monkeypatch.setattr(pending, "publish_changes", publish)
    monkeypatch.setattr(change_feed, "PAUSE", 3600)
    async with replica(database) as feed:
        for _ in range(1000):
            feed.publish()
            await asyncio.sleep(0)
        while not published:
            await asyncio.sleep(0.01)
        feed.publish()
        await asyncio.sleep(0)
    assert published == 1


async def test_a_stream_tells_that_it_lives(database: Database) -> None:
    feed = ChangeFeed(database)
    changes = feed.subscribe(0.01)
    assert not await anext(changes)
    feed.receive()
    assert await anext(changes)
    assert not await anext(changes)


async def test_a_change_between_two_looks_is_not_lost(database: Database) -> None:
    feed = ChangeFeed(database)
    changes = feed.subscribe(60)
    first = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    feed.receive()
    assert await first
    # While the subscriber is busy with the first, the second comes.
    feed.receive()
    async with asyncio.timeout(30):
        assert await anext(changes)


async def test_streams_end_with_the_service(database: Database) -> None:
    feed = ChangeFeed(database)
    waiting = [asyncio.ensure_future(anext(feed.subscribe(60), None)) for _ in range(3)]
    await asyncio.sleep(0)
    feed.close()
    assert await asyncio.gather(*waiting) == [None, None, None]
    assert await anext(feed.subscribe(60), None) is None


def test_no_more_than_so_many_may_subscribe() -> None:
    subscribers = Subscribers(4)
    with contextlib.ExitStack() as stack:
        for address in ("10.0.0.1", "10.0.0.2", "10.0.0.2"):
            stack.enter_context(subscribers.subscribing(address))
        with (
            subscribers.subscribing("10.0.0.1"),
            pytest.raises(TooManyStreams, match="too many event stream clients"),
        ):
            stack.enter_context(subscribers.subscribing("10.0.0.3"))
        stack.enter_context(subscribers.subscribing("10.0.0.3"))
    with subscribers.subscribing("10.0.0.3"):
        pass


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::1", "::2", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("", "", True),
    ],
)
def test_no_address_may_take_all_places(one: str, other: str, same: bool) -> None:
    subscribers = Subscribers(40)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(subscribers.subscribing(one))
        with (
            pytest.raises(TooManyStreams) if same else contextlib.nullcontext(),
            subscribers.subscribing(other),
        ):
            pass
        with subscribers.subscribing("192.0.2.1"):
            pass


async def test_a_page_from_before_a_change_receives_it_at_once(database: Database) -> None:
    feed = ChangeFeed(database)
    mark = feed.mark
    assert not await anext(feed.subscribe(0.01, since=mark))
    feed.receive()
    assert await anext(feed.subscribe(60, since=mark))
    assert not await anext(feed.subscribe(0.01, since=feed.mark))
    # Another replica, or another life of this one, knows nothing of the page.
    assert await anext(ChangeFeed(database).subscribe(60, since=mark))


async def test_a_page_is_as_old_as_its_request(database: Database) -> None:
    feed = ChangeFeed(database)
    before = feed.mark

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        # Something changes after the page has read what it shows.
        feed.receive()
        assert scope["mark"] == before != feed.mark

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/jobs", "state": {"feed": feed}}
    await Publishing(handle)(scope, None, None)  # type: ignore[arg-type]  # not used
    assert await anext(feed.subscribe(60, since=scope["mark"]))


async def test_a_feed_knows_whether_it_would_hear_of_a_change(
    worker_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_feed, "PROBE", 0.1)
    alone = Database(worker_database, name="alone", pool=PoolOptions(1, 0, 30.0))
    feed, done = ChangeFeed(alone), asyncio.Event()

    async def hold(_: Session) -> None:
        await done.wait()

    async def becomes(current: bool) -> None:
        async with asyncio.timeout(30):
            while feed.is_current is not current:
                await asyncio.sleep(0.01)

    feed.probe.start()
    try:
        with feed.subscribing("127.0.0.1"):
            # Nothing of this replica reaches the database any more.
            holding = asyncio.create_task(alone.read(hold))
            await becomes(False)
            done.set()
            await holding
            await becomes(True)
    finally:
        await feed.probe.cancel()
        await alone.close()
