"""Every error says where more is known about it."""

import pytest
from httpx import AsyncClient

from scheduler_api.routers.http.problems import kinds
from scheduler_api.wording.problems import ADVICE


def test_there_is_advice_for_each_kind_and_no_other() -> None:
    assert [kind.code for kind in kinds()] == sorted(ADVICE)
    assert not [kind.code for kind in kinds() if not kind.advice.endswith(".")]


@pytest.mark.parametrize("path", ["/jobs/99", "/nowhere", "/jobs?x=1", "/logs/99"])
async def test_the_type_of_an_error_is_an_address(client: AsyncClient, path: str) -> None:
    error = (await client.get(path)).json()
    kind = (await client.get(error["type"])).json()
    assert (kind["code"], kind["title"], kind["status"]) == (error["code"], error["title"], error["status"])


async def test_kinds_have_a_list_and_pages(client: AsyncClient) -> None:
    listed = (await client.get("/problems")).json()
    assert len(listed) == len(ADVICE)
    page = await client.get("/problems/stale_version", headers={"accept": "text/html"})
    assert "Read the job again" in page.text
    assert (await client.get("/problems/nonsense")).status_code == 404
    assert (await client.get("/problems/nonsense", headers={"accept": "text/html"})).status_code == 404
