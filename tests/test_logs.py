"""Log lines: one event, one line, and nothing in it that a terminal would obey."""

import contextlib
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from scheduler_api import logs, tokens
from scheduler_api.targets import signatures
from tests.conftest import pytest_runtest_makereport


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.getLogger().level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_json_lines_carry_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    structlog.get_logger("test").info("ran", jobname="a\nb\x1b[31m")
    logging.getLogger("library").warning("odd %s", "thing")
    ours, theirs = map(json.loads, capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["level"], ours["jobname"]) == ("ran", "info", "a\nb\x1b[31m")
    assert (theirs["event"], theirs["logger"]) == ("odd thing", "library")


def test_console_lines_do_not_obey_input(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "console")
    structlog.get_logger("test").info("said \x1b[31m", jobname="a\nb\x1b[31m")
    logging.getLogger("library").info("line\r\nbreak")
    shown = capsys.readouterr().err
    assert shown.count("\n") == 2
    assert "\x1b" not in shown
    assert "\r" not in shown


@pytest.mark.parametrize(
    "odd", ["a\x1b[31m", "a\x1b[31m b", "a\rb", "a\x9b31m", "a\u202eb", "a\x07", "a\u2028b"]
)
def test_no_field_of_a_console_line_is_obeyed(capsys: pytest.CaptureFixture[str], odd: str) -> None:
    logs.configure("info", "console")
    structlog.get_logger(odd).info(odd, jobname=odd, many=[odd], inner={odd: odd}, error=ValueError(odd))
    try:
        raise ValueError(f"{odd}\n2030-01-01 [info] forged")
    except ValueError:
        logging.getLogger(odd).exception("failed %s", odd, extra={"field": odd})
    shown = capsys.readouterr().err
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "\n2030-01-01" not in shown
    assert "forged" in shown


TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("place", ["/runs/12/", "/sign-in/"])
@pytest.mark.parametrize("style", ["console", "json"])
def test_no_line_tells_a_token(
    capsys: pytest.CaptureFixture[str], style: Literal["console", "json"], place: str
) -> None:
    logs.configure("debug", style)
    path = f"{place}{TOKEN}"
    structlog.get_logger("test").warning(f"at {path}", path=path, many=[path], inner={"a": path, path: 1})
    structlog.get_logger("test").warning("odd", error=ValueError(f"http://localhost{path}?a=b"))
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "here", "POST", path, "1.1", 503)
    try:
        raise ValueError(path)
    except ValueError:
        logging.getLogger("library").exception("failed")
    shown = capsys.readouterr().err
    assert TOKEN not in shown
    assert shown.count(place) >= 8


def test_no_line_tells_what_a_provider_sends_somebody_back_with(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "json")
    path = f"/sign-in/oidc/callback?code={TOKEN}&state={TOKEN}"
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "here", "GET", path, "1.1", 303)
    shown = capsys.readouterr().err
    assert (TOKEN in shown, "/sign-in/" in shown) == (False, True)


def test_an_exception_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    try:
        raise ValueError("odd")
    except ValueError:
        structlog.get_logger("test").exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: odd" in json.loads(line)["exception"]


def test_less_important_events_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", None)
    structlog.get_logger("test").info("quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["key", "token", "signing", "link", "report", "password"])
def test_a_test_in_which_a_secret_is_logged_fails(request: pytest.FixtureRequest, kind: str) -> None:
    """All that the suite logs is looked through: see conftest."""
    secret = {
        "key": tokens.new_key(),
        "token": tokens.new_token(),
        "signing": signatures.new_secret(),
        "link": f"https://jobs.example.com/sign-in/{tokens.new_token()}",
        "report": "http://localhost:5000/runs/7/0123456789abcdef0123456789abcdef",
        "password": "correct horse battery",
    }[kind]
    for logged, outcome in (("2030-01-01 [info] served", "passed"), (f'{{"token": "{secret}"}}', "failed")):
        report = pytest.TestReport("a test", ("", 0, ""), {}, "passed", None, "call")
        report.sections = [("Captured stdout call", logged)]
        hook = pytest_runtest_makereport(request.node, pytest.CallInfo.from_call(lambda: None, "call"))
        next(hook)
        with contextlib.suppress(StopIteration):
            hook.send(report)
        assert report.outcome == outcome
