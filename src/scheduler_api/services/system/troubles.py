"""What is wrong with the service itself: with what all projects share."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_api.contracts.alerts.issues import ServiceIssueKind
from scheduler_api.contracts.system.overview import Issue, IssueKind, StandbyLag, Storage
from scheduler_api.database.alerts import channels, service
from scheduler_api.database.alerts.service import ServiceIssueFound
from scheduler_api.database.statements import Session
from scheduler_api.database.system import overview
from scheduler_api.services.system import health, restore, storage
from scheduler_api.wording import issues

#: How many of each kind are named.
SHOWN = 20
#: A transaction that has been open for so long keeps the server from cleaning up.
OLD = timedelta(minutes=5)
#: A channel that has failed for so long does not just fail once.
BROKEN = timedelta(minutes=1)
#: What waits so long does not wait for a busy moment to pass.
STUCK = timedelta(seconds=30)
#: In how many days a disk is full that somebody has to look after now.
SOON = 14.0


class Replica(NamedTuple):
    """What a replica knows by itself."""

    name: str = ""
    reported: Sequence[str] = ()
    """What it says is wrong with it."""
    paused: bool = False
    """Whether it waits until somebody confirms that the database was restored."""
    crowded: float = 0.0
    """For how many seconds due calls have found no place in it."""
    keep: timedelta | None = None
    """How long it keeps history; None: for ever."""
    exported: bool = False
    """Whether it keeps it until it has been exported, too."""
    free: int | None = None
    """Bytes that are left on the disk of its embedded server; None: it has none."""
    standby: StandbyLag | None = None
    """What it reads pages from, beside the primary; None: nothing."""


class Outage(NamedTuple):
    """A time in which a replica could not reach the database."""

    replica: str
    seconds: float
    """How long it lasted; it is just over."""


class Trouble(NamedTuple):
    """An issue of the service itself."""

    issue: Issue
    subject: str = ""
    """What tells it from others of its kind."""

    @property
    def name(self) -> tuple[str, str]:
        """The same trouble, however its words change, has the same name."""
        return self.issue.kind.value, self.subject


async def storage_of(session: Session, now: datetime, replica: Replica) -> Storage:
    """What the database takes on disk, as a replica sees it."""
    return await storage.measure(session, now, replica.keep, replica.free, exported=replica.exported)


async def of_service(session: Session, now: datetime, replica: Replica, stored: Storage) -> list[Trouble]:
    """What is wrong with what all projects share."""
    return [
        *(Trouble(issues.replica(replica.name, why), replica.name) for why in replica.reported),
        *(Trouble(issue) for issue in await restore.issue_of(session, now, paused=replica.paused)),
        *await _crowd(session, now, replica),
        *(Trouble(issues.disk(days)) for days in [stored.fullin] if days is not None and days < SOON),
        *(Trouble(issues.unexported(day)) for day in [stored.waiting] if day is not None),
        *(
            Trouble(issues.transaction(now, row), f"{row.pid or row.since}")
            for row in await overview.old_transactions(session, now - OLD, SHOWN)
        ),
        *(
            Trouble(issues.channel(row), f"{row.channelid}")
            for row in await channels.broken(session, now - BROKEN, SHOWN)
        ),
    ]


async def _crowd(session: Session, now: datetime, replica: Replica) -> list[Trouble]:
    """That runs wait as a replica makes as many calls as it may, for longer than a busy moment."""
    if replica.crowded < STUCK.total_seconds():
        return []
    waiting = await health.waiting(session, now)
    if not waiting.calls:
        return []
    since = now - timedelta(seconds=replica.crowded)
    return [Trouble(issues.crowded(replica.name, since, waiting.calls, health.MAX_COUNTED), replica.name)]


async def find_all(session: Session, now: datetime, replica: Replica) -> list[Trouble]:
    """The same, with the storage measured."""
    return await of_service(session, now, replica, await storage_of(session, now, replica))


async def tell_of(
    session: Session, now: datetime, found: Sequence[Trouble], outage: Outage | None = None
) -> None:
    """Write down what is wrong, and that an outage is just over; those are told who are to be."""
    if outage is not None:
        since = now - timedelta(seconds=outage.seconds)
        issue = issues.unreachable(outage.replica, since, outage.seconds)
        found = [*found, Trouble(issue, f"{outage.replica} {since:%Y-%m-%dT%H:%M}")]
    # Of several of a kind and subject, the first one is told.
    known = {trouble.name: _found(now, trouble) for trouble in reversed(found)}
    await service.open_or_extend(session, now, list(known.values()))
    await service.tend(session, now)


def _found(now: datetime, trouble: Trouble) -> ServiceIssueFound:
    issue = trouble.issue
    kind = ServiceIssueKind(issue.kind)
    return ServiceIssueFound(kind, trouble.subject, issue.since or now, issue.what, issue.why, issue.action)


#: What is told is a part of what the overview shows.
assert {kind.value for kind in ServiceIssueKind} <= {kind.value for kind in IssueKind}
