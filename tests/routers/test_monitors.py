"""Monitors over HTTP: what they are told, by whom, and what pages show of them."""

from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.database.engine import Database
from scheduler_api.workers import meter
from tests.factories import execute, rows
from tests.routers.http.test_forms import filled

MONITOR: dict[str, Any] = {"jobname": "Nightly backup", "interval": 3600, "monitor": {}}
HTML = {"Accept": "text/html"}


async def add(client: AsyncClient, **values: Any) -> tuple[dict[str, Any], str]:
    """A monitor, and the path of its address."""
    created = await client.post("/jobs", json=MONITOR | values)
    assert created.status_code == 201, created.text
    job = created.json()
    found = await client.get(f"/jobs/{job['jobid']}/monitor")
    url: str = found.json()["url"]
    return job, url[url.index("/monitors/") :]


async def test_a_monitor_says_what_holds_of_it(client: AsyncClient) -> None:
    job, path = await add(client)
    assert (job["monitor"], job["grace"], job["misfire"], job["target"]) == (
        {"timeout": 3600},
        300,
        "skip",
        None,
    )
    found = (await client.get(f"/jobs/{job['jobid']}/monitor")).json()
    assert found == {
        "url": f"http://localhost:5000{path}",
        "starturl": f"http://localhost:5000{path}/start",
        "failurl": f"http://localhost:5000{path}/fail",
    }
    assert path.rpartition("/")[2] not in (await client.get(f"/jobs/{job['jobid']}")).text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json"},
        {"Content-Type": "nonsense"},
        {"Accept": "text/html"},
    ],
)
async def test_whatever_is_sent_along_is_the_output(client: AsyncClient, headers: dict[str, str]) -> None:
    _, path = await add(client)
    started = await client.post(f"{path}/start", headers=headers)
    assert (started.status_code, started.json()["status"]) == (200, "running")
    said = await client.post(path, content=b"copied a=b&c\n\xff done\n", headers=headers)
    assert (said.status_code, said.json()["status"]) == (200, "finished")
    log = (await client.get(f"/logs/{said.json()['logid']}")).json()
    assert [line["line"] for line in log["lines"]] == ["copied a=b&c", "� done"]
    assert (log["log"]["kind"], log["log"]["cause"]) == ("monitor", "manual")


async def test_of_a_long_output_the_end_is_kept(client: AsyncClient) -> None:
    _, path = await add(client)
    text = "\n".join(f"line {number}" for number in range(100_000))
    failed = await client.post(f"{path}/fail", content=text)
    assert failed.json()["status"] == "failed"
    log = (await client.get(f"/logs/{failed.json()['logid']}")).json()
    assert log["log"]["error"] == "It reported a failure: line 99999"
    assert [line["line"] for line in log["lines"]] == [f"line {number}" for number in range(99_800, 100_000)]


async def test_an_unknown_address_is_no_monitor(client: AsyncClient) -> None:
    job, path = await add(client)
    missing = await client.post("/monitors/00000000-0000-4000-8000-000000000000")
    assert (missing.status_code, missing.json()["code"]) == (404, "monitor_not_found")
    assert (await client.post("/monitors/nonsense")).status_code == 404
    changed = await client.post(f"/jobs/{job['jobid']}/monitor")
    assert (await client.post(path)).status_code == 404
    url: str = changed.json()["url"]
    assert (await client.post(url[url.index("/monitors/") :])).status_code == 200
    (change,) = (await client.get("/audit?action=addresschanged")).json()
    assert change["jobid"] == job["jobid"]
    await client.delete(f"/jobs/{job['jobid']}")
    assert (await client.post(url[url.index("/monitors/") :])).status_code == 404


async def test_a_monitor_is_not_reported_to_without_end(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [10**15]
    monkeypatch.setattr(meter, "monotonic_ns", lambda: now[0])
    _, path = await add(client)
    _, other = await add(client)
    assert {(await client.post(f"{path}/start")).status_code for _ in range(60)} == {200}
    refused = await client.post(path)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_reports")
    assert refused.headers["Retry-After"] == "1"
    assert (await client.post(other)).status_code == 200
    now[0] += 10**9
    assert (await client.post(path)).status_code == 200


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"target": {"url": "https://example.com/"}}, "/target"),
        ({"jitter": 5}, "/jitter"),
        ({"autopause": 3}, "/autopause"),
        ({"overlap": True}, "/overlap"),
        ({"interval": None, "after": {"jobid": 1}}, "/after"),
        ({"monitor": {"timeout": 0}}, "/monitor/timeout"),
        ({"monitor": {"grace": 5}}, "/monitor/grace"),
    ],
)
async def test_what_is_about_runs_from_here_is_refused(
    client: AsyncClient, values: dict[str, Any], pointer: str
) -> None:
    refused = await client.post("/jobs", json=MONITOR | values)
    assert refused.status_code == 422
    assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]


async def test_nothing_is_run_from_here(client: AsyncClient) -> None:
    job, _ = await add(client)
    plain = (await client.post("/jobs", json={"jobname": "Plain", "interval": 60})).json()
    refused = await client.post(f"/jobs/{job['jobid']}/run")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_is_monitor")
    refused = await client.get(f"/jobs/{plain['jobid']}/monitor")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_is_no_monitor")
    done = await client.post("/jobs/bulk", json={"action": "run", "all": True})
    assert done.json()["done"] == 1
    assert [one["jobid"] for one in done.json()["failed"]] == [job["jobid"]]


async def test_a_form_makes_a_monitor(client: AsyncClient) -> None:
    fields = {"jobname": "By form", "kind": "every", "interval": "1", "unit": "3600", "monitor": "true"}
    created = await client.post("/jobs", data=fields | {"monitor_timeout": "60"}, headers=HTML)
    assert created.status_code == 303, created.text
    job = (await client.get("/jobs/1")).json()["job"]
    assert (job["monitor"], job["grace"]) == ({"timeout": 60}, 300)
    page = (await client.get("/jobs/1?form=true", headers=HTML)).text
    assert 'name="monitor" type="checkbox" value="true" checked' in page
    assert filled(await client.get("/jobs/1?form=true", headers=HTML))["monitor_timeout"] == "60"
    edited = fields | {"jobid": "1", "version": "1", "grace": "300", "startdate": job["startdate"]}
    del edited["monitor"]
    saved = await client.post("/jobs/1/edit", data=edited | {"starttime": job["starttime"]}, headers=HTML)
    assert saved.status_code == 303, saved.text
    assert (await client.get("/jobs/1")).json()["job"]["monitor"] is None


async def test_the_page_shows_where_to_report(client: AsyncClient) -> None:
    job, path = await add(client)
    page = (await client.get(f"/jobs/{job['jobid']}", headers=HTML)).text
    assert f"curl -fsS --retry 5 -X POST http://localhost:5000{path}</pre>" in page
    assert "Run now" not in page
    changed = await client.post(f"/jobs/{job['jobid']}/monitor", headers=HTML, data={"a": ""})
    assert (changed.status_code, changed.headers["Location"]) == (303, f"/jobs/{job['jobid']}#monitor")
    assert path not in (await client.get(f"/jobs/{job['jobid']}", headers=HTML)).text


async def test_how_a_job_is_watched_can_be_set_and_taken_back(client: AsyncClient) -> None:
    limits = {"lateafter": 5, "stuckafter": 600, "silentafter": 86_400}
    job = (await client.post("/jobs", json={"jobname": "Watched", "interval": 60} | limits)).json()
    assert {name: job[name] for name in limits} == limits
    page = (await client.get(f"/jobs/{job['jobid']}", headers=HTML)).text
    assert "Late after 5 seconds, stuck after 10 minutes, silent after 1 day" in page
    changed = (await client.patch(f"/jobs/{job['jobid']}", json={"stuckafter": None})).json()
    assert changed["stuckafter"] is None
    assert (await client.patch(f"/jobs/{job['jobid']}", json={"lateafter": 0})).status_code == 422


async def test_a_run_of_a_monitor_is_in_every_list(client: AsyncClient, database: Database) -> None:
    job, path = await add(client)
    await client.post(f"{path}/start")
    await execute(
        database, "UPDATE joblog SET startedat = startedat - interval '90 s' WHERE status = 'running'"
    )
    await client.post(path)
    (log,) = (await client.get("/logs?status=finished")).json()
    assert (log["kind"], log["jobid"]) == ("monitor", job["jobid"])
    pages = ("/jobs", "/logs", f"/logs/{log['logid']}", f"/jobs/{job['jobid']}", "/overview", "/upcoming")
    for address in pages:
        assert (await client.get(address, headers=HTML)).status_code == 200, address
    assert "1 minute" in (await client.get(f"/logs/{log['logid']}", headers=HTML)).text
    check = (await client.get(f"/jobs/{job['jobid']}/check")).json()
    assert check["clean"], check
    assert await rows(database, "SELECT 1 FROM logattempt") == []
