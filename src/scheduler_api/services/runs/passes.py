"""Running what is due: one pass is one batch, one transaction, one instant."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NamedTuple

from scheduler_api.database.runs import passes, standing
from scheduler_api.database.runs.due import rules_of
from scheduler_api.database.runs.passes import BEGINNING
from scheduler_api.database.singly import Tried, as_a_whole_or_singly
from scheduler_api.database.statements import Session
from scheduler_api.schedule import Status
from scheduler_api.services.runs.judging import judge, refused
from scheduler_api.services.runs.settling import Judged, settle


@dataclass(slots=True)
class PassReport:
    """What one pass, or several, did."""

    claimed: int = 0
    finished: int = 0
    failed: int = 0
    skipped: int = 0
    withheld: int = 0
    """Logs of which somebody else held a row; they stay pending."""
    held: set[int] = field(default_factory=set)
    """The jobs of these."""
    refused: set[int] = field(default_factory=set)
    """Logs of which the database refused the result; they stay pending, too."""

    @property
    def settled(self) -> int:
        """How many logs got their result."""
        return self.finished + self.failed + self.skipped

    @property
    def left(self) -> int:
        """How many stay pending."""
        return self.withheld + len(self.refused)

    def __iadd__(self, other: "PassReport") -> "PassReport":
        self.claimed += other.claimed
        self.finished += other.finished
        self.failed += other.failed
        self.skipped += other.skipped
        self.withheld += other.withheld
        self.held |= other.held
        self.refused |= other.refused
        return self

    def forget_held(self) -> None:
        """As if what somebody else held had not been claimed, for those who look once more."""
        self.claimed -= self.withheld
        self.withheld = 0
        self.held.clear()


class Known(NamedTuple):
    """What earlier looks have found out."""

    held: Collection[int] = ()
    """Jobs that somebody else holds: they are left alone."""
    refused: Collection[int] = ()
    """Logs whose result the database refuses: so are these."""
    floor: datetime = BEGINNING
    """Nothing is looked for that was due before."""


NOTHING_KNOWN = Known()


async def run_pass(
    session: Session,
    now: datetime,
    limit: int,
    due: datetime,
    known: Known = NOTHING_KNOWN,
    *,
    singly: bool = False,
    full: Callable[[], None] = lambda: None,
) -> PassReport:
    """Claim up to `limit` logs whose time had come at `due`, and has come `now`, and settle them.

    What somebody else holds a row of is left alone. With `singly`, one that the database refuses fails alone,
    and not the whole pass. `full` is called as soon as so many are claimed: there may be more.
    """
    # The clock may have been set back since.
    claimed = await passes.claim_due(session, min(due, now), limit, known.held, known.refused, known.floor)
    if not claimed:
        return PassReport()
    if len(claimed) == limit:
        full()
    rules = await rules_of(session, claimed)
    beside = sorted({log.jobid for log in claimed if not log.carries} & rules.keys())
    for jobid in await standing.held(session, beside) if beside else ():
        del rules[jobid]
    logs = [log for log in claimed if log.jobid in rules]
    withheld = len(claimed) - len(logs)
    report = PassReport(
        claimed=withheld,
        withheld=withheld,
        held={log.jobid for log in claimed} - rules.keys(),
    )
    if logs:
        judged = await judge(session, now, logs, rules)
        work, instead = partial(settle, session, now), partial(refused, "result could not be stored")
        report += _report(*await as_a_whole_or_singly(session, judged, work, instead, singly=singly))
    return report


def _report(done: Sequence[Judged], left: Sequence[Tried[Judged]]) -> PassReport:
    statuses = [one.result.status for one in done]
    held = [one for one in left if one.is_held]
    return PassReport(
        claimed=len(done) + len(left),
        finished=statuses.count(Status.FINISHED),
        failed=statuses.count(Status.FAILED),
        skipped=statuses.count(Status.SKIPPED),
        withheld=len(held),
        held={one.item.log.jobid for one in held},
        refused={one.item.log.logid for one in left if not one.is_held},
    )
