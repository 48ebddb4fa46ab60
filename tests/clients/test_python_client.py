"""The Python client against the running service: what it is generated from, and what is around that."""

import contextlib
import importlib
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from scheduler_api.app import create_app
from scheduler_api.database.engine import Database
from scheduler_api.routers.http.documentation import EXAMPLES
from scheduler_api.settings import Settings
from scheduler_api.targets import signatures
from tests.clients.conftest import FOLDER
from tests.processes.service import Service, services
from tests.receiver import receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def service(database: Database, worker_database: URL) -> AsyncIterator[Service]:
    del database  # It leaves no row behind.
    async with services(1, worker_database) as (service,):
        yield service


@pytest.fixture
async def client(generated: str, service: Service) -> AsyncIterator[Any]:
    """The client of a running service."""
    del generated  # It can be imported.
    client = importlib.import_module("scheduler_client").Client(service.url)
    yield client
    client.get_httpx_client().close()
    await client.get_async_httpx_client().aclose()


def part(name: str) -> ModuleType:
    return importlib.import_module(f"scheduler_client.{name}")


def call(name: str) -> Any:
    """A call of the API, by its operation."""
    for tag in ("jobs", "logs", "operations", "history", "schedules", "targets", "system", "runs"):
        try:
            return part(f"generated.api.{tag}.{name}")
        except ModuleNotFoundError:
            continue
    raise AssertionError(name)


def test_the_document_that_it_is_generated_from_is_the_one_that_is_served() -> None:
    served = create_app(Settings(ticker=False)).openapi()
    assert json.loads((FOLDER / "openapi.json").read_text()) == json.loads(json.dumps(served))


@pytest.mark.usefixtures("generated")
def test_the_generator_has_nothing_to_complain_about(generated: str) -> None:
    assert "warning" not in generated.lower()


def test_what_is_around_it_is_typed(generated: str, tmp_path: Path) -> None:
    del generated  # It can be imported.
    package = Path(importlib.import_module("scheduler_client").__path__[0])
    assert (package / "py.typed").exists()
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path)]
    command = [sys.executable, "-m", "mypy", *options, *map(str, package.glob("*.py"))]
    done = subprocess.run(command, cwd=package.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


async def test_a_life_of_jobs(client: Any) -> None:
    """Every kind of job created, edited, listed, run, paused and deleted; errors are typed."""
    lib, models = importlib.import_module("scheduler_client"), part("generated.models")
    checked = lib.checked

    def do(name: str, *path: Any, **given: Any) -> Any:
        return checked(call(name).sync_detailed(*path, client=client, **given))

    start = datetime.now(UTC) + timedelta(days=1)
    drafts = [
        models.JobDraft(jobname="Once", startdate=start.date(), starttime=f"{start:%H:%M:%S}"),
        models.JobDraft(jobname="Soon", delay=3600, tags=["a"]),
        models.JobDraft(jobname="Interval", interval=3600, tags=["a"]),
        models.JobDraft(
            jobname="Cron", cron="30 2 * * *", timezone="Europe/Berlin", misfire=models.Misfire.SKIP
        ),
        models.JobDraft(jobname="After", after=models.After(jobid=1)),
    ]
    jobs = [do("create_job", body=draft) for draft in drafts]
    assert [job.jobid for job in jobs] == [1, 2, 3, 4, 5]
    assert jobs[3].nextrun > datetime.now(UTC)

    # What is left out of a patch stays as it is.
    edited = do("edit_job", 4, body=models.JobPatch(jobname="Renamed"))
    assert (edited.timezone, edited.misfire, edited.nextrun) == ("Europe/Berlin", "skip", jobs[3].nextrun)
    preview = do("edit_job", 4, body=models.JobPatch(cron="0 3 * * *"), dryrun=True)
    assert preview.disappearing > 0
    assert do("show_job", 4).job.cron == "30 2 * * *"

    assert [job.jobid for job in lib.pages(call("list_jobs").sync_detailed, client=client, limit=2)] == [
        1,
        2,
        3,
        4,
        5,
    ]
    tagged = lib.pages_async(call("list_jobs").asyncio_detailed, client=client, limit=1, tag="a")
    assert [job.jobname async for job in tagged] == ["Soon", "Interval"]

    run = do("run_job", 3)
    assert lib.wait(client, run.logid, every=0.05).log.status == "finished"
    assert (await lib.wait_async(client, run.logid)).log.status == "finished"
    assert [
        log.logid
        for log in lib.pages(
            call("list_logs").sync_detailed, client=client, jobid=3, status=models.LogStatus.FINISHED
        )
    ] == [run.logid]

    paused = do("pause_job", 3, body=models.Pause(reason="Later."))
    assert (paused.state, paused.pausereason) == ("paused", "Later.")
    assert do("resume_job", 3).state == "active"
    assert do("skip_next_run", 3).nextrun > jobs[2].nextrun
    assert do("explain_instant", 3, at=jobs[2].nextrun.isoformat()).sentence
    assert do("check_history", 3).clean
    assert len(do("list_upcoming_of_job", 4, limit=3)) == 3
    assert do("list_changes", 4)[0].action == "edited"
    assert do("preview_schedule", body=models.ScheduleDraft(cron="@daily", count=2)).occurrences
    order = models.BulkOrder(action=models.BulkAction.PAUSE, filter_=models.BulkFilter(tag="a"))
    assert do("run_bulk_action", body=order, dryrun=True).count == 2
    assert do("retry_failed", body=models.RetryOrder(all_=True)).count == 0

    with pytest.raises(lib.ApiError) as raised:
        do("show_job", 99)
    assert (raised.value.status, raised.value.code) == (404, "job_not_found")
    with pytest.raises(lib.ApiError) as raised:
        do("create_job", body=models.JobDraft(jobname="x"))
    assert [error.pointer for error in raised.value.problem.errors] == [
        "/jobname",
        "/startdate",
        "/starttime",
    ]
    with pytest.raises(TimeoutError):
        lib.wait(client, 1, within=0)
    assert do("delete_job", 3) is None
    assert do("delete_job", 3) is None


async def test_a_job_as_it_is_given_is_copied_and_edits_nothing(client: Any) -> None:
    lib, models = importlib.import_module("scheduler_client"), part("generated.models")
    draft = models.JobDraft(jobname="Original", cron="@daily", tags=["a"])
    job = lib.checked(call("create_job").sync_detailed(client=client, body=draft))
    copy = lib.checked(
        call("create_job").sync_detailed(client=client, body=models.JobDraft.from_dict(job.to_dict()))
    )
    assert (copy.jobid, copy.cron, copy.tags) == (2, "@daily", ["a"])
    same = lib.checked(
        call("edit_job").sync_detailed(1, client=client, body=models.JobPatch.from_dict(job.to_dict()))
    )
    assert same == job


@pytest.mark.usefixtures("generated")
@pytest.mark.parametrize("body", [b"", b'{"run": 1}', b"plain text", b"\xff\xfe"])
def test_requests_of_the_service_are_told_from_others(body: bytes) -> None:
    lib = importlib.import_module("scheduler_client")
    now = datetime.now(UTC)
    headers = {
        "Webhook-Id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "Webhook-Signature": signatures.sign([signatures.new_secret(), SECRET], "msg_1", now, body),
        "scheduler-run": "http://localhost:5000/runs/1/2",
    }
    assert lib.verify(SECRET, headers, body) == ("msg_1", "http://localhost:5000/runs/1/2")
    wrong = [str(int(now.timestamp()) - 301), "9" * 400, "9" * 5000, "\u0663", "-1"]
    others = [headers | {"webhook-timestamp": text} for text in wrong]
    others += [{}, headers | {"webhook-id": "\udcff"}, headers | {"Webhook-Signature": "v1,\udcff"}]
    for other, sent in ((headers, body + b" "), *((other, body) for other in others)):
        with pytest.raises(lib.NotFromService):
            lib.verify(SECRET, other, sent)
    for none in ("", "whsec_", "whsec_c2hvcnQ=", "no base64"):
        with pytest.raises(ValueError, match="this is none"):
            lib.verify(none, headers, body)


async def test_an_accepted_run_is_reported_on(client: Any) -> None:
    lib, models = importlib.import_module("scheduler_client"), part("generated.models")
    async with receiving() as receiver:
        receiver.always(202)
        target = models.Target(url=receiver.url)
        draft = models.JobDraft(jobname="Long", interval=3600, target=target)
        lib.checked(call("create_job").sync_detailed(client=client, body=draft))
        run = lib.checked(call("run_job").sync_detailed(1, client=client))
        await receiver.arrived(1)
        report = lib.AsyncReport(receiver.requests[0][0].headers["scheduler-run"])
        await report.progress(40, "4 of 10 files")
        await report.lines(["copied a.csv"])
        await report.finished("Done.")
        found = await lib.wait_async(client, run.logid, every=0.05)
        assert (found.log.status, found.lines[0].line) == ("finished", "copied a.csv")
        with pytest.raises(lib.RunIsOver):
            await report.heartbeat()


@pytest.mark.parametrize("page", [FOLDER / "README.md", FOLDER.parents[1] / "README.md"], ids=["own", "main"])
async def test_the_example_of_the_readme_runs(client: Any, service: Service, page: Path) -> None:
    draft = part("generated.models").JobDraft(jobname="First", interval=3600)
    await call("create_job").asyncio(client=client, body=draft)
    block = page.read_text().partition("```python\n")[2].partition("```")[0]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(block.replace("http://localhost:5000", service.url), {})
    assert said.getvalue().splitlines()[0] == "finished"


@pytest.mark.usefixtures("generated")
@pytest.mark.parametrize("status", [404, 422, 503, 599])
def test_errors_of_what_stands_in_between_are_errors_too(status: int) -> None:
    lib = importlib.import_module("scheduler_client")
    client = lib.Client("http://service.example")
    answer = httpx.Response(status, html="<h1>Gone fishing</h1>")
    client.get_httpx_client()._transport = httpx.MockTransport(lambda _: answer)
    with client, pytest.raises(lib.ApiError) as raised:
        call("show_job").sync_detailed(1, client=client)
    assert (raised.value.status, raised.value.problem, raised.value.code) == (status, None, None)


@pytest.mark.usefixtures("generated")
def test_a_failover_ends_no_wait() -> None:
    lib, log = importlib.import_module("scheduler_client"), EXAMPLES["LogWithAttempts"]
    answers: list[httpx.Response | Exception]
    answers = [httpx.Response(503, html="busy"), httpx.ConnectError("refused"), httpx.Response(200, json=log)]

    def answer(_: httpx.Request) -> httpx.Response:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    client = lib.Client("http://service.example")
    client.get_httpx_client()._transport = httpx.MockTransport(answer)
    with client:
        assert lib.wait(client, 4711, every=0.001).log.status == "finished"
        answers += [httpx.ConnectError("refused")] * 100
        with pytest.raises(TimeoutError, match="not to be had"):
            lib.wait(client, 4711, within=0.01, every=0.001)
