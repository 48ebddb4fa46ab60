"""Jobs that begin now, or after a delay, without a clock of the client's."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.errors import InvalidInput
from scheduler_api.services.jobs.drafts import started

#: Clocks in Berlin show 02:10 for the second time.
REPEATED_HOUR = datetime(2030, 10, 27, 1, 10, tzinfo=UTC)


def draft(**fields: Any) -> JobDraft:
    return JobDraft.model_validate({"jobname": "Begins now"} | fields)


@pytest.mark.parametrize(
    ("fields", "day", "clock"),
    [
        ({"interval": 90}, date(2030, 1, 31), time(12, 1, 31)),
        ({"delay": 90}, date(2030, 1, 31), time(12, 1, 31)),
        ({"interval": 3600, "delay": 5}, date(2030, 1, 31), time(12, 0, 6)),
        ({"interval": 43200, "timezone": "Asia/Tokyo"}, date(2030, 2, 1), time(9, 0, 1)),
    ],
)
def test_the_first_run_is_one_interval_or_the_delay_away(
    fields: dict[str, Any], day: date, clock: time
) -> None:
    """Rounded up to a whole second: never sooner than was asked for."""
    made = started(draft(**fields), datetime(2030, 1, 31, 12, 0, 0, 1, tzinfo=UTC))
    assert (made.startdate, made.starttime, made.delay) == (day, clock, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"interval": 60, "startdate": "2030-01-31", "starttime": "02:00"},
        {"startdate": "2030-01-31", "starttime": "02:00"},
        {"cron": "@daily"},
        {"after": {"jobid": 1}},
    ],
)
def test_who_says_when_is_heeded(fields: dict[str, Any]) -> None:
    made = draft(**fields)
    assert started(made, REPEATED_HOUR) is made


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_start_that_clocks_show_twice_is_refused(seconds: int) -> None:
    """It would be an hour early, or late."""
    with pytest.raises(InvalidInput, match="twice"):
        started(draft(interval=60 + seconds, timezone="Europe/Berlin"), REPEATED_HOUR)
    in_utc = started(draft(interval=60 + seconds), REPEATED_HOUR)
    assert in_utc.starttime == time(1, 11 + seconds // 60)


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({}, ["/startdate", "/starttime"]),
        ({"startdate": "2030-01-31", "interval": 60}, ["/starttime"]),
        ({"starttime": "02:00", "interval": 60}, ["/startdate"]),
        ({"delay": 60, "cron": "@daily"}, ["/delay"]),
        ({"delay": 60, "after": {"jobid": 1}}, ["/delay"]),
        ({"delay": 60, "startdate": "2030-01-31", "starttime": "02:00"}, ["/delay"]),
        ({"delay": 0}, ["/delay"]),
    ],
)
async def test_half_a_start_or_two_are_refused(
    client: AsyncClient, fields: dict[str, Any], pointers: list[str]
) -> None:
    response = await client.post("/jobs", json={"jobname": "Begins when"} | fields)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == pointers


async def test_by_the_clock_of_the_database(client: AsyncClient) -> None:
    for fields in ({"interval": 60}, {"delay": 60}):
        job = (await client.post("/jobs", json={"jobname": "Begins now"} | fields)).json()
        ahead = datetime.fromisoformat(job["nextrun"]) - datetime.fromisoformat(job["createdat"])
        assert timedelta(seconds=60) <= ahead < timedelta(seconds=61)
        assert job["repeat"] is ("interval" in fields)
    shown = (await client.post("/schedules/preview", json={"interval": 60, "count": 2})).json()
    first, second = (datetime.fromisoformat(found["scheduledfor"]) for found in shown["occurrences"])
    assert second - first == timedelta(seconds=60)


async def test_an_edit_begins_now_as_well(client: AsyncClient) -> None:
    job = (await client.post("/jobs", json={"jobname": "Edited", "cron": "@yearly"})).json()
    response = await client.patch("/jobs/1", json={"interval": 3600})
    assert response.status_code == 200, response.text
    assert response.json()["nextrun"] < job["nextrun"]
    again = await client.patch("/jobs/1", json={"delay": 7200})
    assert again.status_code == 200, again.text
    assert again.json()["interval"] == 3600
    assert again.json()["nextrun"] > response.json()["nextrun"]
    once = (await client.post("/jobs", json=job | {"cron": None, "repeat": None, "delay": 60})).json()
    assert once["repeat"] is False
