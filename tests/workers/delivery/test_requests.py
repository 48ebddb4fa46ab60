"""What a run sends: the target with the run's own values in it, in the encoding that it declares."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from scheduler_api.contracts.jobs.targets import MAX_CACHED, Target
from scheduler_api.database.runs.claims import Started
from scheduler_api.workers.delivery.requests import CompiledTarget, compiled_in, values_of

DUE = datetime(2030, 1, 31, 23, 30, tzinfo=UTC)
NAME = 'Straße "1"\\\n'
RUN = Started(
    logid=7,
    jobid=3,
    scheduledfor=DUE,
    cause="schedule",
    attempt=1,
    host="example.com",
    parentlogid=None,
    runs=1,
    now=DUE,
    token=UUID(int=1),
    jobname=NAME,
    timezone="Asia/Tokyo",
    createdat=DUE,
    document=None,
    secrets=[],
)


def target(**fields: Any) -> Target:
    return Target.model_validate({"url": "https://example.com/"} | fields)


def sent(**fields: Any) -> bytes:
    return CompiledTarget(target(**fields)).request(values_of(RUN, RUN), {}).body or b""


@pytest.mark.parametrize(
    ("placeholder", "text"),
    [
        ("{{scheduledfor}}", "2030-01-31T23:30:00Z"),
        ("{{scheduledfor:rfc3339}}", "2030-01-31T23:30:00Z"),
        ("{{ scheduledfor:date }}", "2030-01-31"),
        ("{{scheduledfor:unix}}", "1896132600"),
        ("{{scheduledfor:local}}", "2030-02-01T08:30:00+09:00"),
        ("{{scheduledfor:rfc3339:local}}", "2030-02-01T08:30:00+09:00"),
        ("{{scheduledfor:date:local}}", "2030-02-01"),
        ("{{timezone}}", "Asia/Tokyo"),
    ],
)
def test_an_instant_takes_a_format(placeholder: str, text: str) -> None:
    assert sent(body=f"<{placeholder}>") == f"<{text}>".encode()
    number = placeholder == "{{scheduledfor:unix}}"
    assert json.loads(sent(body={"at": placeholder})) == {"at": int(text) if number else text}


@pytest.mark.parametrize("wrong", ["{{scheduledfor:iso}}", "{{scheduledfor:}}", "{{jobid:date}}", "{{date}}"])
def test_formats_that_there_are_not_are_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="There is no"):
        target(body=wrong)


@pytest.mark.parametrize("kind", ["application/json", "application/cloudevents+json; charset=utf-8"])
def test_values_in_text_that_is_json_are_escaped(kind: str) -> None:
    body = sent(body='{"name": "{{jobname}}", "log": {{logid}}}', headers={"content-type": kind})
    assert json.loads(body) == {"name": NAME, "log": 7}


def test_values_in_other_text_are_not() -> None:
    assert sent(body="name={{jobname}}") == f"name={NAME}".encode()


def test_a_text_is_sent_in_the_charset_that_it_declares() -> None:
    headers = {"Content-Type": "text/plain; charset=iso-8859-1"}
    assert sent(body="Grüße {{jobname}}", headers=headers) == f"Grüße {NAME}".encode("latin-1")


def test_what_many_runs_ask_for_is_compiled_once() -> None:
    small = target(body={"run": "{{logid}}"}).model_dump_json()
    assert compiled_in(small) is compiled_in(small)
    large = target(body="x" * MAX_CACHED).model_dump_json()
    assert compiled_in(large) is not compiled_in(large)
    assert (compiled_in(None), compiled_in('{"url": 7}')) == (None, None)


def test_headers_are_sent_in_their_order_and_what_is_secret_is_known() -> None:
    headers = {"X-Key": {"secret": "key"}, "X-Log": "{{logid}}", "Content-Type": "text/csv"}
    compiled = CompiledTarget(target(body="a,b", headers=headers))
    call = compiled.request(values_of(RUN, RUN), {"key": "open {{jobid}}"})
    assert list(call.headers)[:3] == ["X-Key", "X-Log", "Content-Type"]
    assert (call.headers["X-Key"], call.headers["X-Log"], call.secrets) == ("open 3", "7", ("open 3",))
    assert compiled.request(values_of(RUN._replace(jobid=4), RUN), {"key": "x"}).headers["X-Key"] == "x"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"body": "€", "headers": {"Content-Type": "text/plain; charset=latin1"}}, "which has no “€”"),
        ({"body": "a", "headers": {"Content-Type": "text/plain; charset=rot13"}}, "no charset rot13"),
        (
            {"body": {}, "headers": {"Content-Type": "application/json; charset=latin1"}},
            "JSON is sent in UTF-8",
        ),
        ({"body": "a", "headers": {"Content-Type": "application/json; charset=utf-16"}}, "JSON is sent in"),
        ({"headers": {"X-Name": "Grüße"}}, "outside of ASCII"),
    ],
)
def test_what_cannot_be_sent_as_it_is_declared_is_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        target(**fields)
