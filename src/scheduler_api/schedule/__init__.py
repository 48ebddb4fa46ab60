"""When jobs run: pure functions on values; no clock, no I/O, no framework."""

from scheduler_api.schedule.cadence import (
    Cadence,
    Every,
    Once,
    last_before,
    next_after,
    occurrences,
)
from scheduler_api.schedule.misfire import Misfire, Plan, Verdict, plan
from scheduler_api.schedule.zones import UnknownZone, instant_of, is_zone, zone_names

__all__ = [
    "Cadence",
    "Every",
    "Misfire",
    "Once",
    "Plan",
    "UnknownZone",
    "Verdict",
    "instant_of",
    "is_zone",
    "last_before",
    "next_after",
    "occurrences",
    "plan",
    "zone_names",
]
