"""Placeholders: names only."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from scheduler_api.targets import headers, templates, urls

VALUES: templates.Values = {"jobid": 7, "jobname": "a/b?c&d=é", "parentlogid": None}
DUE = datetime(2030, 1, 31, 23, 30, tzinfo=UTC)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=50)


@pytest.mark.parametrize("text", ["", "plain", "}}", "{ jobid }", "{{jobid}}", "{{ jobid }}{{\truns }}"])
def test_texts_without_an_error(text: str) -> None:
    assert templates.error_in(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "{{",
        "{{ }}",
        "{{ jobid }",
        "{{ JOBID }}",
        "{{ job }}",
        "{{ jobid.__class__ }}",
        "{{ 7*7 }}",
        "{{ jobid|upper }}",
        "{{{ jobid }}}",
        "{{ jobid\n}}",
        "{{ jobid }} {{ oops }}",
    ],
)
def test_texts_with_an_error(text: str) -> None:
    assert templates.error_in(text) is not None
    assert templates.error_within({"a": [1, None, text]}) is not None


def test_keys_are_no_templates() -> None:
    assert templates.error_within({"{{": "x"}) is None
    assert templates.fill_json({"{{ jobid }}": 1}, VALUES) == {"{{ jobid }}": 1}


def test_filling_in() -> None:
    assert templates.in_url("/x/{{ jobname }}?p={{parentlogid}}")(VALUES) == "/x/a%2Fb%3Fc%26d%3D%C3%A9?p="
    assert templates.in_header("J {{ jobname }}")(VALUES) == "J a/b?c&d=%C3%A9"
    assert templates.in_text("{{ jobid }} {{ jobname }} {{ runs }}.")(VALUES) == "7 a/b?c&d=é ."


def test_a_lone_placeholder_keeps_its_type() -> None:
    template = {"id": "{{ jobid }}", "none": "{{parentlogid}}", "in": ["x{{ jobid }}", 1.5, True, None]}
    assert templates.fill_json(template, VALUES) == {"id": 7, "none": None, "in": ["x7", 1.5, True, None]}


@given(TEXTS)
def test_no_value_changes_a_url(value: str) -> None:
    url = templates.in_url("https://example.com/a/{{ jobname }}?b={{ jobname }}&c")({"jobname": value})
    assert url.isascii()
    assert urls.error_in(url) is None or len(url) > urls.MAX_LENGTH
    path, _, query = url.removeprefix("https://example.com/a/").partition("?")
    assert unquote(path) == value
    assert query == f"b={path}&c"


@given(st.text(max_size=50))
def test_no_value_breaks_a_header(value: str) -> None:
    filled = templates.in_header("x{{ jobname }}x")({"jobname": value})
    assert headers.error_in("X-Job", filled.replace("{", "")) is None


@given(
    st.recursive(
        TEXTS.filter(lambda text: "{{" not in text) | st.integers() | st.none() | st.booleans(),
        lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
        max_leaves=10,
    )
)
def test_json_without_placeholders_stays_as_it_is(value: Any) -> None:
    assert templates.error_within(value) is None
    assert json.dumps(templates.fill_json(value, VALUES)) == json.dumps(value)


@given(TEXTS)
def test_values_are_not_filled_in_again(value: str) -> None:
    text = "{{ jobid }}" + value
    assert templates.fill_json(["{{ jobname }}"], {"jobname": text, "jobid": 1}) == [text]


PLACEHOLDERS = st.sampled_from(["{{ jobid }}", "{{jobname}}", "{{ parentlogid }}", "{{scheduledfor:unix}}"])


@given(
    st.recursive(
        st.lists(TEXTS.filter(lambda text: "{{" not in text) | PLACEHOLDERS | st.just('"'), max_size=4).map(
            "".join
        )
        | PLACEHOLDERS
        | st.integers()
        | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(TEXTS | PLACEHOLDERS, inner),
        max_leaves=10,
    ),
    TEXTS,
)
def test_json_that_is_read_once_is_filled_in_alike(value: Any, name: str) -> None:
    fill = templates.in_json(value, to_json)
    for jobid in (1, 2):
        values: templates.Values = {
            "jobid": jobid, "jobname": name, "parentlogid": None, "scheduledfor": DUE,
        }  # fmt: skip
        assert fill(values) == to_json(templates.fill_json(value, values))


def test_a_lone_placeholder_is_told_from_one_between_quotes() -> None:
    fill = templates.in_json(['"{{ jobid }}"', '"{{ jobid }}', "{{ jobid }}"], to_json)
    assert json.loads(fill(VALUES)) == ['"7"', '"7', 7]
