"""When jobs run: pure functions on values; no clock, no I/O, no framework."""

from scheduler_api.schedule.budget import Budget
from scheduler_api.schedule.cadence import Cadence, Every, Grid, Never, Once, occurrences
from scheduler_api.schedule.cron import Cron
from scheduler_api.schedule.definition import (
    Block,
    BlockedSpan,
    Definition,
    Schedule,
    StartInGap,
    schedule_of,
)
from scheduler_api.schedule.expressions import Expression, InvalidCron, expression
from scheduler_api.schedule.future import Future
from scheduler_api.schedule.misfire import Decision, Misfire, Reason, Status, decide, skip_all
from scheduler_api.schedule.parts import END, TICK, Part, after, holds, without
from scheduler_api.schedule.succession import Succession, succeed
from scheduler_api.schedule.zones import (
    Fold,
    Gap,
    UnknownZone,
    comings,
    instant_at,
    instant_of,
    is_pseudo,
    is_zone,
    tick_of,
    wall_clock,
    zone_names,
)

__all__ = [
    "END",
    "TICK",
    "Block",
    "BlockedSpan",
    "Budget",
    "Cadence",
    "Cron",
    "Decision",
    "Definition",
    "Every",
    "Expression",
    "Fold",
    "Future",
    "Gap",
    "Grid",
    "InvalidCron",
    "Misfire",
    "Never",
    "Once",
    "Part",
    "Reason",
    "Schedule",
    "StartInGap",
    "Status",
    "Succession",
    "UnknownZone",
    "after",
    "comings",
    "decide",
    "expression",
    "holds",
    "instant_at",
    "instant_of",
    "is_pseudo",
    "is_zone",
    "occurrences",
    "schedule_of",
    "skip_all",
    "succeed",
    "tick_of",
    "wall_clock",
    "without",
    "zone_names",
]
