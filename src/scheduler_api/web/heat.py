"""A heat map of the load: hours from top to bottom, minutes from left to right."""

from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from scheduler_api.contracts.history.forecast import Forecast
from scheduler_api.wording.instants import local

LEVELS = 5
HOUR = timedelta(hours=1)


class Hour(NamedTuple):
    """One row of the map, in words."""

    label: str
    runs: int
    load: float
    busiest: str
    """Its busiest minute; nothing if it has none."""


class Heat(NamedTuple):
    """The map."""

    rows: int
    paths: list[tuple[int, str]]
    """A level, from 1 to LEVELS, and all its cells, each one unit wide and high."""
    hours: list[Hour]
    peak: float
    """Seconds of work in the busiest minute."""
    runs: int


def heat(forecast: Forecast, zone: str) -> Heat:
    """The map on the clocks of `zone`."""
    clock = ZoneInfo(zone)
    # Hours begin where the clocks of the zone say so: in some, at half past.
    top = forecast.since - timedelta(minutes=forecast.since.astimezone(clock).minute)
    least, peak = min(forecast.load), max(forecast.load)
    cells: dict[int, list[str]] = {level: [] for level in range(1, LEVELS + 1)}
    per_hour: dict[datetime, list[tuple[int, float, datetime]]] = {}
    for number, load in enumerate(forecast.load):
        at = forecast.since + timedelta(minutes=number)
        column = at.astimezone(clock).minute
        hour = at - timedelta(minutes=column)
        per_hour.setdefault(hour, []).append((forecast.runs[number], load, at))
        if load:
            row = (hour - top) // HOUR
            # What every minute has makes none stand out. Square roots, so that little shows beside much.
            level = 1 + round((LEVELS - 1) * ((load - least) / (peak - least)) ** 0.5) if peak > least else 1
            cells[level].append(f"M{column} {row}h1v1h-1z")
    return Heat(
        rows=len(per_hour),
        paths=[(level, "".join(found)) for level, found in cells.items() if found],
        hours=[_hour(hour, minutes, zone, clock) for hour, minutes in per_hour.items()],
        peak=peak,
        runs=sum(forecast.runs),
    )


def _hour(hour: datetime, minutes: list[tuple[int, float, datetime]], zone: str, clock: ZoneInfo) -> Hour:
    runs, load, at = max(minutes, key=lambda minute: minute[1])
    busiest = f"{at.astimezone(clock):%H:%M}, {runs:,} runs" if load else ""
    total = sum(minute[0] for minute in minutes)
    return Hour(local(hour, zone), total, round(sum(minute[1] for minute in minutes), 1), busiest)
