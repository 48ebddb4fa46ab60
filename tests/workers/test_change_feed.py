"""News: whoever changes something, every page hears of it; and nobody pays for that in passes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from scheduler_api.database.engine import Database
from scheduler_api.database.runs import pending
from scheduler_api.database.runs.pending import NEWS
from scheduler_api.errors import TooManyReaders
from scheduler_api.routers.events import Announcing
from scheduler_api.workers import change_feed as news_module
from scheduler_api.workers.change_feed import News, Readers
from scheduler_api.workers.listener import listen_forever


@contextlib.asynccontextmanager
async def replica(database: Database) -> AsyncIterator[News]:
    """One replica's news, which hears and spreads."""
    news = News(database)
    tasks = [
        asyncio.create_task(listen_forever(database, {NEWS: news.hear})),
        asyncio.create_task(news.spread()),
    ]
    yield news
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def heard(news: News, teller: News) -> bool:
    """Whether `news` hears of what `teller` tells; told again until it listens."""
    changes = news.follow(0.2)
    try:
        while True:
            teller.tell()
            async with asyncio.timeout(30):
                if await anext(changes):
                    return True
    finally:
        await changes.aclose()  # type: ignore[attr-defined]


async def test_every_replica_hears_of_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news_module, "PAUSE", 0.01)
    async with replica(database) as one, replica(database) as other:
        assert await heard(other, teller=one)
        assert await heard(one, teller=one)


async def test_many_changes_are_told_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    told = 0
    real = pending.spread_news

    async def spread(session: object) -> None:
        nonlocal told
        told += 1
        await real(session)  # type: ignore[arg-type]

    monkeypatch.setattr(pending, "spread_news", spread)
    monkeypatch.setattr(news_module, "PAUSE", 3600)
    async with replica(database) as news:
        for _ in range(1000):
            news.tell()
            await asyncio.sleep(0)
        while not told:
            await asyncio.sleep(0.01)
        news.tell()
        await asyncio.sleep(0)
    assert told == 1


async def test_a_stream_tells_that_it_lives(database: Database) -> None:
    news = News(database)
    changes = news.follow(0.01)
    assert not await anext(changes)
    news.hear()
    assert await anext(changes)
    assert not await anext(changes)


async def test_a_change_between_two_looks_is_not_lost(database: Database) -> None:
    news = News(database)
    changes = news.follow(60)
    first = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    news.hear()
    assert await first
    # While the reader is busy with the first, the second comes.
    news.hear()
    async with asyncio.timeout(30):
        assert await anext(changes)


async def test_streams_end_with_the_service(database: Database) -> None:
    news = News(database)
    waiting = [asyncio.ensure_future(anext(news.follow(60), None)) for _ in range(3)]
    await asyncio.sleep(0)
    news.close()
    assert await asyncio.gather(*waiting) == [None, None, None]
    assert await anext(news.follow(60), None) is None


def test_so_many_may_follow_and_no_more() -> None:
    readers = Readers(4)
    with contextlib.ExitStack() as stack:
        for address in ("10.0.0.1", "10.0.0.2", "10.0.0.2"):
            stack.enter_context(readers.reading(address))
        with readers.reading("10.0.0.1"), pytest.raises(TooManyReaders, match="follow this replica; look"):
            stack.enter_context(readers.reading("10.0.0.3"))
        stack.enter_context(readers.reading("10.0.0.3"))
    with readers.reading("10.0.0.3"):
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
    readers = Readers(40)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(readers.reading(one))
        with pytest.raises(TooManyReaders) if same else contextlib.nullcontext(), readers.reading(other):
            pass
        with readers.reading("192.0.2.1"):
            pass


async def test_a_page_from_before_a_change_hears_of_it_at_once(database: Database) -> None:
    news = News(database)
    mark = news.mark
    assert not await anext(news.follow(0.01, since=mark))
    news.hear()
    assert await anext(news.follow(60, since=mark))
    assert not await anext(news.follow(0.01, since=news.mark))
    # Another replica, or another life of this one, knows nothing of the page.
    assert await anext(News(database).follow(60, since=mark))


async def test_a_page_is_as_old_as_its_request(database: Database) -> None:
    news = News(database)
    before = news.mark

    async def handle(scope: Any, receive: Any, send: Any) -> None:
        # Something changes after the page has read what it shows.
        news.hear()
        assert scope["news"] == before != news.mark

    scope = {"type": "http", "method": "GET", "path": "/jobs", "state": {"news": news}}
    await Announcing(handle)(scope, None, None)  # type: ignore[arg-type]
    assert await anext(news.follow(60, since=scope["news"]))  # type: ignore[arg-type]
