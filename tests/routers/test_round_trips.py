"""What it costs to show a page: one unit of work, and a statement for each thing that it tells."""

from collections import Counter
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.database import statements
from tests.routers.test_pages import HTML

#: Each page, and how many round trips it may take.
PAGES = {
    "/jobs": 7,
    "/jobs?state=overdue&limit=50": 7,
    "/jobs/1": 9,
    "/jobs/1?cursor=1": 7,
    # The whole of the past is searched, in ever longer stretches.
    "/logs": 11,
    "/logs?status=failed": 11,
    "/logs/1": 5,
}


#: Set in the request that is looked at; what goes on beside it is not counted.
ASKED = ContextVar("asked", default=False)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts units of work, and round trips."""
    counts: Counter[str] = Counter()
    answered, attach = statements._answered, statements.attach_driver

    async def counting(driver: Any, call: Awaitable[Any]) -> Any:
        counts["round trips"] += ASKED.get()
        return await answered(driver, call)

    def attaching(*args: Any) -> Any:
        counts["units"] += ASKED.get()
        return attach(*args)

    monkeypatch.setattr(statements, "_answered", counting)
    monkeypatch.setattr("scheduler_api.database.transactions.attach_driver", attaching)
    return counts


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_takes_one_unit_of_work(client: AsyncClient, counted: Counter[str], path: str) -> None:
    target = {"url": "http://127.0.0.1:9/"}
    for _ in range(3):
        made = await client.post("/jobs", json={"jobname": "A job", "cron": "@daily", "target": target})
        assert made.status_code == 201, made.text
    await client.post("/jobs/1/secrets")
    ASKED.set(True)
    page = await client.get(path, headers=HTML)
    assert page.status_code == 200
    assert counted["units"] == 1
    assert 1 < counted["round trips"] <= PAGES[path]
