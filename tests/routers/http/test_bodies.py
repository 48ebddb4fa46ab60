"""Bodies that are no jobs at all: a clear answer, never a 500, and nothing stored."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient, Response
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request

from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.database.engine import Database
from scheduler_api.errors import InvalidInput
from scheduler_api.routers.http import bodies
from scheduler_api.routers.http.permissions import needed
from tests.factories import scalar

GOOD = b'{"jobname": "Good job", "startdate": "2030-01-31", "starttime": "02:00"}'

JSON = [(b"content-type", b"application/json")]


async def post(client: AsyncClient, content: bytes, kind: str | None = "application/json") -> Response:
    headers = {} if kind is None else {"content-type": kind}
    return await client.post("/jobs", content=content, headers=headers)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"nonsense", 400),
        (GOOD + b"x", 400),
        (b"\xef\xbb\xbf" + GOOD, 400),
        (GOOD.decode().encode("utf-16"), 400),
        (b'{"jobname": "\xff\xfe"}', 400),
        (b'{"interval": NaN}', 400),
        (b'{"interval": Infinity}', 400),
        (b'{"interval": -Infinity}', 400),
        pytest.param(b'{"interval": ' + b"9" * 5000 + b"}", 400, id="many digits"),
        pytest.param(b"[" * 100_000, 422, id="very deep"),
        pytest.param(b'{"a":' * 900 + b"1" + b"}" * 900, 422, id="deep"),
        (b'{"interval": 1e400}', 422),
        (b'{"interval": -1e400}', 422),
        (b'{"jobname": "\\ud800 half"}', 422),
        (b'{"\\ud800": 1}', 422),
        (b'{"jobname": ["\\udfff"]}', 422),
        (b'{"jobname": "nul \\u0000 nul"}', 422),
        (b'{"jobname": "one", "jobname": "two"}', 422),
        (b'{"x": {"a": 1, "a": 2}}', 422),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        pytest.param(b"{" + b",".join(b'"k%d": 1' % n for n in range(10_000)) + b"}", 422, id="many keys"),
    ],
)
async def test_json_that_is_none_or_no_job(
    client: AsyncClient, database: Database, content: bytes, status: int
) -> None:
    response = await post(client, content)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert await scalar(database, "SELECT count(*) FROM job") == 0


@pytest.mark.parametrize("kind", [None, "text/plain", "application/xml", "application/jsonx", "nonsense"])
async def test_other_content_types(client: AsyncClient, kind: str | None) -> None:
    response = await post(client, GOOD, kind)
    assert response.status_code == 415
    assert response.json()["code"] == "unsupported_media_type"


async def test_a_charset_does_no_harm(client: AsyncClient) -> None:
    assert (await post(client, GOOD, "application/json; charset=utf-8")).status_code == 201


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
async def test_a_body_of_ten_megabytes(client: AsyncClient, kind: str) -> None:
    response = await post(client, b" " * 10_000_000, kind)
    assert response.status_code == 413
    assert response.json()["code"] == "content_too_large"


async def test_a_body_of_ten_megabytes_without_a_length(client: AsyncClient) -> None:
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 10_000

    response = await client.post("/jobs", content=drip(), headers={"content-type": "application/json"})
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"jobname=%ff%fe&startdate=2030-01-31&starttime=02:00", "application/x-www-form-urlencoded", 400),
        (b"jobname=%00%00%00%00", "application/x-www-form-urlencoded", 422),
        (b"jobname=one&jobname=two", "application/x-www-form-urlencoded", 422),
        pytest.param(
            b"&".join(b"k%d=1" % n for n in range(1200)),
            "application/x-www-form-urlencoded",
            400,
            id="many fields",
        ),
        (b"", "application/x-www-form-urlencoded", 422),
        ("jobname=\xe4\xf6\xfc".encode("latin-1"), "application/x-www-form-urlencoded", 400),
        (b"nonsense", "multipart/form-data; boundary=x", 400),
        (b"nonsense", "multipart/form-data", 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="jobname"\r\n\r\nOne',
            "multipart/form-data; boundary=x",
            422,
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\nOne\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            400,
        ),
    ],
)
async def test_forms_that_are_no_job(client: AsyncClient, content: bytes, kind: str, status: int) -> None:
    assert (await post(client, content, kind)).status_code == status


async def test_a_form_answers_as_a_program_asks(client: AsyncClient) -> None:
    fields = {"jobname": "By form", "startdate": "2030-01-31", "starttime": "02:00", "interval": "60"}
    made = await client.post("/jobs", data=fields)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/jobs/{made.json()['jobid']}"
    assert made.json()["interval"] == 60
    multipart = await client.post("/jobs", files={name: (None, value) for name, value in fields.items()})
    assert multipart.status_code == 201, multipart.text
    assert multipart.json()["jobname"] == "By form"
    for accept, status, kind in (("text/html", 303, None), ("application/json", 201, "application/json")):
        again = await client.post("/jobs", data=fields, headers={"accept": accept})
        assert (again.status_code, again.headers.get("content-type")) == (status, kind)
    wrong = await client.post("/jobs", data=fields | {"interval": "soon"})
    assert wrong.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in wrong.json()["errors"]] == ["/interval"]
    paused = await client.post("/jobs/1/pause", data={"reason": "Later."})
    assert (paused.status_code, paused.json()["pausereason"]) == (200, "Later.")
    assert (await client.patch("/jobs/1", data={"jobname": "Other"})).status_code == 415


async def test_json_that_is_sent_as_a_form_is_told_so(client: AsyncClient) -> None:
    """The default of curl, whatever it sends."""
    response = await post(client, GOOD, "application/x-www-form-urlencoded")
    assert response.status_code == 415
    assert response.json()["detail"] == (
        "The body looks like JSON: send it with `Content-Type: application/json`."
    )


class SlowRequest(Request):
    """A request whose body never comes."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        yield b"{"
        await asyncio.Event().wait()


async def test_a_body_that_does_not_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_DEADLINE", 0.01)
    with pytest.raises(HTTPException) as raised:
        await bodies.read(
            SlowRequest({"type": "http", "method": "POST", "headers": JSON}), JobDraft, required=True
        )
    assert raised.value.status_code == 408


def request_with(content: bytes) -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": content, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": JSON, "need": needed("POST", "/sign-in")}
    return Request(scope, receive)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
json_values = (
    scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=5), scalars, max_size=3)
)


@given(
    st.one_of(
        st.binary(),
        st.dictionaries(st.sampled_from([*JobDraft.model_fields, "other"]), json_values, max_size=9).map(
            lambda value: json.dumps(value).encode()
        ),
    )
)
async def test_whatever_comes_is_a_job_or_a_clear_answer(content: bytes) -> None:
    with contextlib.suppress(HTTPException, InvalidInput):
        draft = await (await bodies.read(request_with(content), JobDraft, required=True)).json()
        assert len(draft.jobname) >= 3


@pytest.mark.parametrize(
    "body",
    [
        {f"field{number}": 1 for number in range(12_000)},
        {f"{number}" * 10_000: 1 for number in range(10)},
        {"target": {"url": "http://a.example/", "headers": {"a" * 100_000: "b", "ä" * 50_000: "b"}}},
        {"tags": [1] * 60_000},
        {"jobname": "a" * 200_000, "cron": "b" * 40_000},
    ],
)
async def test_however_much_is_wrong_the_answer_stays_short(
    client: AsyncClient, body: dict[str, Any]
) -> None:
    response = await client.post("/jobs", json=body)
    assert response.status_code == 422
    assert len(response.content) < 60_000
    problem = response.json()
    assert len(problem["errors"]) <= 51
    assert all(
        len(field_error["pointer"]) <= 200 and len(field_error["detail"]) <= 500
        for field_error in problem["errors"]
    )


async def test_the_last_error_tells_how_many_more_there_are(client: AsyncClient) -> None:
    body = {"jobname": "A job", "cron": "@daily"} | {f"field{number}": 1 for number in range(10_000)}
    told = (await client.post("/jobs", json=body)).json()["errors"]
    assert len(told) == 51
    assert told[-1] == {"pointer": "", "detail": "9,950 more errors are not shown."}
    assert all(field_error["pointer"] for field_error in told[:-1])


async def test_names_given_twice_are_told_as_briefly(client: AsyncClient) -> None:
    pairs = ", ".join(f'"field{number}": 1, "field{number}": 2' for number in range(5000))
    response = await client.post(
        "/jobs", content=f"{{{pairs}}}", headers={"content-type": "application/json"}
    )
    told = response.json()["errors"]
    assert (response.status_code, len(told)) == (422, 51)
    assert told[-1]["detail"] == "4,950 more errors are not shown."


@pytest.mark.parametrize("number", [50, 51])
async def test_where_they_fit_all_errors_are_told(client: AsyncClient, number: int) -> None:
    body = {"jobname": "A job", "cron": "@daily"} | {f"field{n}": 1 for n in range(number)}
    told = (await client.post("/jobs", json=body)).json()["errors"]
    assert len(told) == number


@pytest.mark.parametrize(
    ("body", "pointer", "meant"),
    [
        ({"intervall": 10}, "/intervall", "interval"),
        ({"croon": "@daily"}, "/croon", "cron"),
        ({"target": {"url": "https://a.example/", "metod": "GET"}}, "/target/metod", "method"),
        ({"after": {"job": 1}}, "/after/job", "jobid"),
        ({"colour": "blue"}, "/colour", None),
    ],
)
async def test_a_misspelled_field_is_named_first_with_the_one_that_is_meant(
    client: AsyncClient, body: dict[str, Any], pointer: str, meant: str | None
) -> None:
    first = (await client.post("/jobs", json={"jobname": "A job"} | body)).json()["errors"][0]
    also = "" if meant is None else f" Did you mean `{meant}`?"
    assert first == {"pointer": pointer, "detail": f"There is no such field.{also}"}
