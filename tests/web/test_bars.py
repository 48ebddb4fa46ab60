"""Where the time of a call went, as a picture."""

import pytest

from scheduler_api.web.bars import WIDTH, phases


def test_the_phases_follow_one_another_and_fill_the_picture() -> None:
    timing = {"dns": 10.0, "connect": 20.0, "tls": 30.0, "firstbyte": 100.0, "total": 200.0}
    found = phases(timing)
    assert [phase.name for phase in found] == ["dns", "connect", "tls", "firstbyte", "rest"]
    assert [phase.x for phase in found] == [0, 5, 15, 30, 80]
    assert [phase.share for phase in found] == [5, 10, 15, 50, 20]
    assert found[-1].x + found[-1].width == WIDTH


def test_several_calls_are_drawn_to_the_same_scale() -> None:
    (only,) = phases({"firstbyte": 50.0, "total": 50.0}, 200.0)
    assert (only.width, only.share) == (25, 100)


def test_what_came_to_nothing_is_a_wait() -> None:
    connect, wait = phases({"connect": 1.0, "total": 1000.0})
    assert (connect.width, connect.share) == (0.5, 0)
    assert (wait.name, wait.said, wait.length) == ("wait", "no response", 999.0)


@pytest.mark.parametrize("timing", [{}, {"total": 0.0}, {"unknown": 5.0}])
def test_without_phases_there_is_nothing_to_see(timing: dict[str, float]) -> None:
    assert phases(timing) == []


def test_clocks_that_go_astray_do_no_harm() -> None:
    (only,) = phases({"dns": -5.0, "total": -1.0})
    assert (only.x, only.width) == (0, 0.5)
