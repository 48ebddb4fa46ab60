"""Filters of lists, and the addresses that keep them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from scheduler_api.wording.instants import typed

#: What narrows each list down, and what else the addresses of its pages keep.
OF_JOBS = ("search", "name", "state", "laststatus", "tag", "project", "pauseid")
KEPT_OF_JOBS = ("sort", "limit")
OF_RUNS = (
    *("name", "status", "cause", "since", "until", "jobid", "tag", "project"),
    *("host", "minduration", "maxduration"),
)
#: Those that a form shows when asked to.
MORE_OF_RUNS = {"tag", "host", "project", "jobid", "minduration", "maxduration"}
#: And that of what everybody did.
OF_AUDIT = ("actor", "client", "address", "project", "object", "action", "jobid", "since", "until")
KEPT_OF_AUDIT = ("limit",)
OF_ISSUES = ("state", "kind", "jobid", "project")
OF_ALERTS = ("state", "channelid", "jobid")
OF_UPCOMING = ("name", "tag")
KEPT_OF_ISSUES = ("limit",)
KEPT_OF_RUNS = ("sort", "limit")


def named_views(now: datetime, zone: str) -> list[tuple[str, dict[str, str]]]:
    """Lists of runs that are asked for every day, and their filters."""
    clock = ZoneInfo(zone)
    today = now.astimezone(clock).replace(hour=0, minute=0, second=0, microsecond=0)
    # By the days of the calendar: one of them may have 23 hours.
    evening = (today - timedelta(days=1)).replace(hour=18)
    night = {"since": typed(evening, zone), "until": typed(today.replace(hour=8), zone)}
    day = {"since": typed(now - timedelta(days=1), zone)}
    return [
        ("Last night", night),
        ("Failed last night", {"status": "failed", **night}),
        ("Failed, 24 h", {"status": "failed", **day}),
        ("Slowest, 24 h", {"sort": "duration", **day}),
        ("Run manually", {"cause": "manual"}),
    ]


class HourAhead(NamedTuple):
    """An hour of the next day to choose from."""

    label: str
    address: str
    is_chosen: bool


def hours_ahead(
    now: datetime, zone: str, kept: Mapping[str, str], chosen: datetime | None
) -> list[HourAhead]:
    """The hours of the next day on the clocks of `zone`, this one first."""
    clock = ZoneInfo(zone)
    first = now - timedelta(
        minutes=now.astimezone(clock).minute, seconds=now.second, microseconds=now.microsecond
    )
    hours = []
    for number in range(24):
        since = first + number * timedelta(hours=1)
        span = {
            "since": f"{since:%Y-%m-%dT%H:%M:%SZ}",
            "until": f"{since + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
        }
        hours.append(
            HourAhead(
                f"{since.astimezone(clock):%H:%M}", address("/upcoming", {**kept, **span}), since == chosen
            )
        )
    return hours


def given(query: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Those of a query's fields that have a value."""
    return {name: query[name] for name in names if query.get(name)}


def address(path: str, query: Mapping[str, str] | Sequence[tuple[str, str]]) -> str:
    """A path with a query, if there is one."""
    return f"{path}?{urlencode(query)}" if query else path
