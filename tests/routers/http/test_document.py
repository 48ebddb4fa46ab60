"""The OpenAPI document, as it is served: clients and receivers can be generated from it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from httpx import AsyncClient
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import validate

#: What generators and people can still read.
MAX_SIZE = 280_000


@pytest.fixture
async def document(client: AsyncClient) -> Any:
    response = await client.get("/openapi.json")
    assert len(response.content) < MAX_SIZE
    return response.json()


def operations(document: Any) -> Iterator[tuple[str, Any]]:
    for place in ("paths", "webhooks"):
        for path, methods in document[place].items():
            for method, operation in methods.items():
                yield f"{method.upper()} {path}", operation


def inside(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in a document, with its place."""
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from inside(item, f"{path}/{name}")


async def test_it_is_valid(document: Any) -> None:
    validate(document)


async def test_every_reference_leads_somewhere(document: Any) -> None:
    for place, value in inside(document):
        if place.endswith("/$ref"):
            found = document
            for step in value.removeprefix("#/").split("/"):
                assert step in found, (place, value)
                found = found[step]


async def test_operations_have_short_names(document: Any) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert not [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+){0,3}", name)]


async def test_bodies_answers_and_errors_are_components(document: Any) -> None:
    for name, operation in operations(document):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            if media == "application/json" and not name.endswith(" run"):
                assert "$ref" in content["schema"], name
        for status, answer in operation["responses"].items():
            if status >= "400" and "$ref" not in answer:
                assert name in {"GET /readyz", "POST run"}, (name, status)
            for media, content in answer.get("content", {}).items():
                if media == "application/json" and name != "POST run":
                    schema = content["schema"]
                    kinds = schema.get("anyOf", [schema.get("items", schema)])
                    assert all("$ref" in kind for kind in kinds), (name, status)


async def test_each_body_and_answer_has_an_example(document: Any) -> None:
    """A true one: it fits the schema, and answers lack nothing."""
    schemas = document["components"]["schemas"]
    media = ("application/json", "application/problem+json", "application/merge-patch+json")
    for place, value in inside(document):
        if place.endswith(tuple(f"{kind}/schema" for kind in media)):
            kinds = value.get("anyOf", [value.get("items", value)])
            for name in (kind["$ref"].rpartition("/")[2] for kind in kinds if "$ref" in kind):
                kind = Draft202012Validator({"$ref": f"#/components/schemas/{name}", **document})
                assert schemas[name]["examples"], name
                for example in schemas[name]["examples"]:
                    kind.validate(example)
                    if "/responses/" in place:
                        assert example.keys() == schemas[name]["properties"].keys(), name


async def test_each_enumeration_is_there_once(document: Any) -> None:
    found = [
        (place, tuple(value["enum"]))
        for place, value in inside(document)
        if isinstance(value, dict) and isinstance(value.get("enum"), list)
    ]
    assert [place for place, _ in found if not re.fullmatch(r"/components/schemas/\w+", place)] == []


async def test_whole_numbers_are_integers(document: Any) -> None:
    floats = [place for place, value in inside(document) if isinstance(value, float) and value.is_integer()]
    assert floats == []


async def test_what_is_always_there_is_required(client: AsyncClient, document: Any) -> None:
    """Or typed clients ask of each field whether it is there."""
    target = {"url": "https://example.com/"}
    await client.post("/jobs", json={"jobname": "A job", "cron": "0 3 * * *", "target": target})
    await client.post("/jobs", json={"jobname": "Another", "after": {"jobid": 1}})
    run = (await client.post("/jobs/1/run")).json()
    job = (await client.get("/jobs/1")).json()["job"]
    answers = {
        "Job": job,
        "JobTarget": job["target"],
        "JobAfter": (await client.get("/jobs/2")).json()["job"]["after"],
        "JobTargetSummary": (await client.get("/jobs")).json()[0]["target"],
        "JobSummary": (await client.get("/jobs")).json()[0],
        "Log": run,
        "Overview": (await client.get("/overview")).json(),
        "Change": (await client.get("/jobs/1/changes")).json()[0],
        "Occurrence": (await client.get("/jobs/1/upcoming")).json()[0],
        "Upcoming": (await client.get("/upcoming")).json()[0],
        "Problem": (await client.get("/jobs/99")).json(),
    }
    for name, answer in answers.items():
        assert answer.keys() <= document["components"]["schemas"][name]["properties"].keys()
        required = set(document["components"]["schemas"][name]["required"])
        assert required == answer.keys(), name


async def test_a_patch_declares_no_defaults(document: Any) -> None:
    """Generated clients send declared defaults: renaming a job would reset all else."""
    patch = document["components"]["schemas"]["JobPatch"]
    assert "default" not in json.dumps(patch["properties"])
    assert "required" not in patch


async def test_headers_are_declared(client: AsyncClient, document: Any) -> None:
    """Those of the answers are those of the document."""
    await client.post("/jobs", json={"jobname": "A job", "cron": "0 3 * * *"})
    await client.post("/jobs", json={"jobname": "A job", "cron": "0 3 * * *"})
    key = {"Idempotency-Key": "once"}
    asked = {
        ("post", "/jobs"): await client.post("/jobs", json={"jobname": "Abc", "cron": "@daily"}, headers=key),
        ("get", "/jobs"): await client.get("/jobs?limit=1"),
        ("get", "/jobs/{jobid}"): await client.get("/jobs/1"),
        ("patch", "/jobs/{jobid}"): await client.patch("/jobs/1", json={"jobname": "Another"}),
        ("post", "/jobs/{jobid}/run"): await client.post("/jobs/1/run"),
        ("post", "/jobs/{jobid}/skip"): await client.post("/jobs/1/skip"),
        ("get", "/jobs/{jobid}/changes"): await client.get("/jobs/1/changes?limit=1"),
        ("get", "/upcoming"): await client.get("/upcoming"),
    }
    general = {"content-type", "content-length", "vary", "cache-control", "content-encoding"}
    hardening = {"x-content-type-options", "referrer-policy", "content-security-policy"}
    hardening |= {"cross-origin-opener-policy", "cross-origin-resource-policy"}
    for (method, path), answer in asked.items():
        assert answer.is_success, answer.text
        declared = document["paths"][path][method]["responses"][str(answer.status_code)]["headers"]
        sent = set(answer.headers) - general - hardening
        assert sent <= {name.lower() for name in declared}, path


async def test_forms_and_their_redirects_are_declared(document: Any) -> None:
    form = "application/x-www-form-urlencoded"
    for path in ("/jobs", "/jobs/{jobid}/pause", "/jobs/{jobid}/run", "/logs/retry", "/logs/{logid}/cancel"):
        operation = document["paths"][path]["post"]
        assert form in operation["requestBody"]["content"], path
        assert "Location" in operation["responses"]["303"]["headers"], path


async def test_the_requests_that_it_sends_and_the_reports_that_it_takes_are_declared(document: Any) -> None:
    run = document["webhooks"]["run"]["post"]
    headers = {parameter["name"] for parameter in run["parameters"]}
    assert headers == {"webhook-id", "webhook-timestamp", "webhook-signature", "traceparent", "scheduler-run"}
    ((_, callback),) = run["callbacks"].items()
    ((address, methods),) = callback.items()
    assert address == "{$request.header.scheduler-run}"
    body = methods["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Report"}


async def test_each_tag_is_described(document: Any) -> None:
    described = {tag["name"] for tag in document["tags"] if tag["description"].endswith(".")}
    used = {tag for _, operation in operations(document) for tag in operation.get("tags", ())}
    assert used == described
