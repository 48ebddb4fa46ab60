"""Placeholders: names only."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.targets import headers, templates, urls

VALUES: templates.Values = {"jobid": 7, "jobname": "a/b?c&d=é", "parentlogid": None}
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
    assert templates.fill_url("/x/{{ jobname }}?p={{parentlogid}}", VALUES) == "/x/a%2Fb%3Fc%26d%3D%C3%A9?p="
    assert templates.fill_header("J {{ jobname }}", VALUES) == "J a/b?c&d=%C3%A9"
    assert templates.fill_text("{{ jobid }} {{ jobname }} {{ runs }}.", VALUES) == "7 a/b?c&d=é ."


def test_a_lone_placeholder_keeps_its_type() -> None:
    template = {"id": "{{ jobid }}", "none": "{{parentlogid}}", "in": ["x{{ jobid }}", 1.5, True, None]}
    assert templates.fill_json(template, VALUES) == {"id": 7, "none": None, "in": ["x7", 1.5, True, None]}


@given(TEXTS)
def test_no_value_changes_a_url(value: str) -> None:
    url = templates.fill_url("https://example.com/a/{{ jobname }}?b={{ jobname }}&c", {"jobname": value})
    assert url.isascii()
    assert urls.error_in(url) is None or len(url) > urls.MAX_LENGTH
    path, _, query = url.removeprefix("https://example.com/a/").partition("?")
    assert unquote(path) == value
    assert query == f"b={path}&c"


@given(st.text(max_size=50))
def test_no_value_breaks_a_header(value: str) -> None:
    filled = templates.fill_header("x{{ jobname }}x", {"jobname": value})
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
