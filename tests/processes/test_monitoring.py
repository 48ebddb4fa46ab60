"""What is handed out for Prometheus and Grafana: against Prometheus itself, where it is installed."""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient, TransportError
from prometheus_client import Metric

from scheduler_api.database.engine import Database
from scheduler_api.routers.http import exposition
from tests.factories import add_due_jobs
from tests.processes.service import PATIENCE, services
from tests.reference import NO_BYTES, NOTHING
from tests.test_examples import free_port

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
#: Of Prometheus itself, and of its client.
FOREIGN = {"up", "process_resident_memory_bytes"}
NAME = re.compile(r"\b(scheduler_\w+|up|process_\w+)\b(?=[{\[)\s]|$)")

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")),
    reason="not here: that needs Prometheus (Debian's package prometheus)",
)


def queries() -> dict[str, str]:
    """What the board asks for, by its panels, and the alerts."""
    board = json.loads((FOLDER / "board.json").read_text())
    found = {
        f"{panel['title']}: {target['legendFormat']}": target["expr"].replace("$__rate_interval", "1m")
        for panel in board["panels"]
        for target in panel["targets"]
    }
    alerts = (FOLDER / "alerts.yml").read_text().replace("expr: >-\n          ", "expr: ")
    alerts = re.sub(r"\n          (/ sum)", r" \1", alerts)
    found |= dict(re.findall(r"- alert: (\w+)\n\s+expr: (.*)\n", alerts))
    return found


def names(families: list[Metric]) -> set[str]:
    """The names of the series of all metrics."""
    suffixes = {
        "counter": ("_total",),
        "gauge": ("",),
        "histogram": ("_bucket", "_count", "_sum"),
    }
    return {f"{one.name}{suffix}" for one in families for suffix in suffixes[one.type]}


def test_boards_and_alerts_ask_for_metrics_that_there_are() -> None:
    own = [
        *exposition.of_process(),
        *exposition.of_cluster(NOTHING),
        *exposition.of_sizes(NO_BYTES),
        *exposition.of_jobs([], is_cut=False),
    ]
    there = names(own) | FOREIGN
    asked = queries()
    assert len(asked) > 20
    for where, query in asked.items():
        found = set(NAME.findall(query))
        assert found, where
        assert found <= there, where


def test_each_panel_has_a_place_and_an_id_of_its_own() -> None:
    panels = json.loads((FOLDER / "board.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


@needs_prometheus
@pytest.mark.parametrize("command", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml")])
def test_the_alerts_do_what_they_say(command: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
async def test_prometheus_reads_what_the_service_tells(database: Database, tmp_path: Path) -> None:
    await add_due_jobs(database, 3)
    async with services(1, database.engine.url) as [service], AsyncClient() as client:
        linted = (await client.get(f"{service.url}/metrics")).text
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=linted, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        async with prometheus(tmp_path, service.url.removeprefix("http://")) as url:
            ran = 'scheduler_runs_total{status="finished",cause="schedule"}'
            async with asyncio.timeout(PATIENCE):
                while [one["value"][1] for one in await ask(client, url, ran)] != ["3"]:
                    await asyncio.sleep(0.1)
                while not await ask(client, url, "scheduler_job_next_run_timestamp_seconds"):
                    await asyncio.sleep(0.1)
            assert {one["value"][1] for one in await ask(client, url, "up")} == {"1"}
            for where, query in queries().items():
                assert isinstance(await ask(client, url, query), list), where
            assert [one["value"][1] for one in await ask(client, url, queries()["Jobs: {{state}}"])]
            groups = (await client.get(f"{url}/api/v1/rules")).json()["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
            assert len(rules) == (FOLDER / "alerts.yml").read_text().count("alert:")


async def ask(client: AsyncClient, url: str, query: str) -> list[dict[str, Any]]:
    answer = (await client.get(f"{url}/api/v1/query", params={"query": query})).json()
    assert answer["status"] == "success", answer
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


@contextlib.asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[str]:
    """Prometheus with the configuration that is handed out, but for where the service is; its address."""
    written = (FOLDER / "prometheus.yml").read_text()
    written = re.sub(r"    authorization: .*\n", "", written)
    written = re.sub(
        r"    dns_sd_configs:\n.*\n", f"    static_configs: [{{targets: ['{target}']}}]\n", written
    )
    written = written.replace("balancer:5000", target)
    written = re.sub(r"(scrape|evaluation)_interval: \d+s", r"\1_interval: 1s", written)
    (folder / "prometheus.yml").write_text(written)
    shutil.copy(FOLDER / "alerts.yml", folder)
    port = await free_port()
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(PATIENCE), AsyncClient() as client:
            while not await _is_ready(client, url):
                assert process.returncode is None, (folder / "log").read_text()
                await asyncio.sleep(0.05)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def _is_ready(client: AsyncClient, url: str) -> bool:
    with contextlib.suppress(TransportError):
        return (await client.get(f"{url}/-/ready")).is_success
    return False
