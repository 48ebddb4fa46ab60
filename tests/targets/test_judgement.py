"""What an answer means."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.targets import HOST_FAILURES, Answer, Failure, Judgement, Rules, judge, judgement

RULES = Rules(success=("2xx",), pattern=None, retryon=("408", "429", "5xx"))


def answer(status: int | None, failure: Failure | None = None, body: str = "") -> Answer:
    return Answer(status, failure, "Why." if failure else None, None, body, False, {}, body)


@pytest.mark.parametrize("text", ["2xx", "404", "200-204", "100-599", "200-200"])
def test_sets_of_statuses(text: str) -> None:
    assert judgement.is_status_set(text)


@pytest.mark.parametrize(
    "text",
    ["", "xx", "6xx", "0xx", "20", "2000", "204-200", "2xx-3xx", "200,201", " 200", "٢xx", "600", "2XX"],
)
def test_what_is_no_set_of_statuses(text: str) -> None:
    assert not judgement.is_status_set(text)
    assert not judgement.matches(200, [text])


def test_matching() -> None:
    assert judgement.matches(204, ["404", "200-204"])
    assert not judgement.matches(205, ["404", "200-204"])
    assert judgement.matches(599, ["5xx"])
    assert not judgement.matches(200, [])


@pytest.mark.parametrize(
    ("body", "pattern", "found"),
    [
        ("all is ok here", "ok", True),
        ("all is OK here", "ok", False),
        ("a1b2c", "a*b*c", True),
        ("cba", "a*b*c", False),
        ("aXa", "a*a", True),
        ("a", "a*a", False),
        ("", "*", True),
        ("", "", True),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
        ("a\nb", "a*b", True),
    ],
)
def test_patterns(body: str, pattern: str, found: bool) -> None:
    assert judgement.contains(body, pattern) is found


@given(st.text("ab*.", max_size=12), st.text("ab*.", max_size=6))
def test_a_pattern_is_literal_but_for_the_star(body: str, pattern: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert judgement.contains(body, pattern) is (re.search(expression, body, re.DOTALL) is not None)


def test_many_stars_take_no_longer() -> None:
    assert not judgement.contains("a" * 65536, "a*" * 30000 + "b")


@pytest.mark.parametrize("failure", list(Failure))
def test_a_failure_on_the_way(failure: Failure) -> None:
    judged = judge(answer(None, failure), RULES)
    assert judged == Judgement(failure, "Why.", again=failure is not Failure.BLOCKED, accepted=False)


@pytest.mark.parametrize(
    ("status", "failure", "again"),
    [
        (200, None, False),
        (204, None, False),
        (301, Failure.REDIRECT, False),
        (307, Failure.REDIRECT, False),
        (400, Failure.STATUS, False),
        (408, Failure.STATUS, True),
        (410, Failure.GONE, False),
        (429, Failure.STATUS, True),
        (503, Failure.STATUS, True),
        (599, Failure.STATUS, True),
        (101, Failure.STATUS, False),
        (999, Failure.STATUS, False),
    ],
)
def test_statuses(status: int, failure: Failure | None, again: bool) -> None:
    judged = judge(answer(status), RULES)
    assert (judged.failure, judged.again, judged.accepted) == (failure, again, False)


def test_accepted() -> None:
    assert judge(answer(202), RULES) == Judgement(None, None, again=False, accepted=True)
    assert not judge(answer(202), RULES._replace(success=("200",))).accepted


def test_what_a_target_regards_as_success_is_none_of_ours() -> None:
    rules = RULES._replace(success=("302", "410", "500"))
    for status in (302, 410, 500):
        assert judge(answer(status), rules).failure is None


def test_a_success_without_the_pattern_is_none() -> None:
    rules = RULES._replace(pattern="done*")
    assert judge(answer(200, body="it is done"), rules).failure is None
    assert judge(answer(200, body="it is not"), rules)[::2] == (Failure.PATTERN, True)
    assert judge(answer(500, body="it is done"), rules).failure is Failure.STATUS


def test_the_sentences() -> None:
    assert judge(answer(503), RULES).error == "The target answered 503 Service Unavailable."
    assert judge(answer(599), RULES).error == "The target answered 599."
    assert judge(answer(302), RULES).error == "The target answered 302 Found; redirects are not followed."


def test_which_failures_say_that_the_host_is_down() -> None:
    assert {"connect", "dns", "timeout", "tls"} == HOST_FAILURES
