"""Log lines: one event, one line, and nothing in it that a terminal would obey."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from scheduler_api import logs


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
