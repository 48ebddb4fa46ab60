"""A job's past: which schedule held when, and when it was paused."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date, datetime, time
from functools import cached_property
from typing import Any, NamedTuple

from scheduler_api.database.jobs import changes, definitions
from scheduler_api.database.jobs.changes import ChangeRow
from scheduler_api.database.jobs.rows import DefinitionRow, JobRow
from scheduler_api.database.statements import Session
from scheduler_api.errors import DatabaseBusy, JobNotFound, ScheduleUnusable
from scheduler_api.schedule import END, Definition, Part, Schedule, holds, schedule_of, without
from scheduler_api.services.jobs import planning
from scheduler_api.services.jobs.documents import written

#: How often to read a job again that is edited while it is read.
TRIES = 5


class Version(NamedTuple):
    """A schedule of a job, and the time for which it held."""

    since: datetime
    """Its occurrences come after this."""
    to: datetime | None
    """Its last instant; None: it still holds."""
    definition: Definition
    maxruns: int | None
    """As it was last; those before were reached no more."""
    kept: tuple[Part, ...] = ()
    """Parts of the time before in which it holds as well: what was due there, it calls for, too."""
    given: tuple[Part, ...] = ()
    """Parts of its own time that the schedule after it has kept."""

    @property
    def within(self) -> tuple[Part, ...]:
        """The parts of time whose occurrences are its own; those of all versions fill a job's life."""
        return without((*self.kept, Part(self.since + datetime.resolution, self.to or END)), self.given)

    @property
    def own(self) -> Schedule:
        """What of the schedule is its own. Raises ScheduleUnusable."""
        return self.schedule._replace(within=self.within)

    @property
    def schedule(self) -> Schedule:
        """The schedule. Raises ScheduleUnusable."""
        try:
            return schedule_of(self.definition)
        except (ArithmeticError, ValueError) as error:
            raise ScheduleUnusable(f"The job's schedule cannot be computed ({error}).") from error


@dataclass(frozen=True)
class ScheduleVersions:
    """A job as it is, and what led there."""

    job: JobRow
    changes: list[ChangeRow]

    @cached_property
    def all(self) -> list[Version]:
        """Its schedules, oldest first. The first look takes long where there were many edits."""
        return _versions(self.job, self.changes)

    def at(self, instant: datetime) -> Version:
        """The schedule to which an instant belongs; before the first one, the first."""
        for version in reversed(self.all):
            if holds(version.kept, instant) and version.own.calls_for(instant):
                return version
        return next(v for v in self.all if v.to is None or instant <= v.to)

    @property
    def targeted(self) -> datetime:
        """Since when the job has the target that it has, or none."""
        edits = [change for change in self.changes if "target" in (change.after or {})]
        found: datetime = edits[-1].at if edits else self.job.createdat
        return found

    def pause_at(self, instant: datetime) -> ChangeRow | None:
        """The change that had the job paused at an instant; None: it was not."""
        latest = None
        for change in self.changes:
            if change.at <= instant and change.action in {"paused", "resumed"}:
                latest = change
        return latest if latest is not None and latest.action == "paused" else None


async def versions_of(session: Session, jobid: int) -> ScheduleVersions:
    """The job and its history, which belong together although others edit. Raises JobNotFound."""
    row: JobRow | None = await definitions.summary(session, jobid)
    for _ in range(TRIES):
        if row is None:
            break
        known = await changes.of_schedule(session, jobid)
        before, row = row, await definitions.summary(session, jobid)
        if row is not None and row.version == before.version:
            return ScheduleVersions(before, known)
    if row is None:
        raise JobNotFound(jobid)
    raise DatabaseBusy("The job kept changing; try again.")


def _versions(row: JobRow, known: list[ChangeRow]) -> list[Version]:
    """From the present definition back through what each edit replaced."""
    document = written(vars(row)) | {"calendardays": row.calendardays}
    found: list[Version] = []
    to: datetime | None = None
    given: tuple[Part, ...] = ()
    maxruns = document["maxruns"]
    for change in reversed(known):
        if change.action != "edited":
            continue
        opens = "validfrom" in change.after
        if opens:
            since = datetime.fromisoformat(change.after["validfrom"])
            ends = [datetime.fromisoformat(end) for end in change.after.get("kept", ())]
            kept = planning.parts_of(ends)
            found.append(Version(since, to, _definition(document), maxruns, kept, given))
            to, given = since, kept
        days = {*document["calendardays"]} - {*change.after.get("calendardays", ())}
        document |= {name: value for name, value in change.before.items() if name != "validfrom"}
        # Of these a change tells what it took away, and what it added.
        document["calendardays"] = sorted(days | {*change.before.get("calendardays", ())})
        if opens:
            maxruns = document["maxruns"]
    found.append(Version(row.createdat, to, _definition(document), maxruns, (), given))
    return found[::-1]


def _definition(document: dict[str, Any]) -> Definition:
    """The definition of a job as JSON has it."""
    parsed = {name: parse(document[name]) for name, parse in PARSERS.items() if document[name] is not None}
    values = document | parsed
    return planning.definition_of(
        DefinitionRow(**{one.name: values[one.name] for one in fields(DefinitionRow)})
    )


PARSERS: dict[str, Callable[[str], Any]] = {
    "startdate": date.fromisoformat,
    "starttime": time.fromisoformat,
    "until": datetime.fromisoformat,
}
