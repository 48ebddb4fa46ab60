"""What an answer depends on, so that no cache gives it to somebody else."""

import pytest
from httpx import AsyncClient

from tests.routers.test_pages import HTML


@pytest.mark.parametrize("encoding", ["gzip", "identity", "br;q=1"])
@pytest.mark.parametrize("accept", ["application/json", HTML["accept"]])
@pytest.mark.parametrize("path", ["/jobs", "/jobs/1", "/jobs?form=true", "/nothing"])
async def test_every_answer_says_what_it_depends_on(
    client: AsyncClient, path: str, accept: str, encoding: str
) -> None:
    """Large and small ones, errors too; compressed or not."""
    await client.post("/jobs", json={"jobname": "A job", "cron": "@daily"})
    answer = await client.get(path, headers={"accept": accept, "accept-encoding": encoding})
    assert set(answer.headers.get_list("vary", split_commas=True)) == {"Accept", "Accept-Encoding"}
    again = await client.get(
        path,
        headers={
            "accept": accept,
            "accept-encoding": encoding,
            "if-none-match": answer.headers.get("etag", "x"),
        },
    )
    assert again.status_code == (304 if "etag" in answer.headers else answer.status_code)
    assert set(again.headers.get_list("vary", split_commas=True)) == {"Accept", "Accept-Encoding"}
