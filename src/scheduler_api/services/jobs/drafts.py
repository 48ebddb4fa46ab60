"""A draft's schedule, and the first of its runs."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from scheduler_api.computing import aside_locked
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.contracts.jobs.schedules import ScheduleDraft
from scheduler_api.contracts.validation import field_errors_of
from scheduler_api.contracts.values import DEFAULT_PROJECT
from scheduler_api.database.access import projects
from scheduler_api.database.jobs import calendars
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.schedule import Cron, Never, Schedule, StartInGap, comings, schedule_of

Draft = TypeVar("Draft", bound=JobDraft)


def schedule_of_draft(draft: JobDraft | ScheduleDraft) -> Schedule:
    """The draft's schedule. Raises InvalidInput where it cannot be computed."""
    try:
        return schedule_of(draft.definition)
    except StartInGap:
        sentence = "The clock skips this time on that day, and `dstgap` is `skip`."
        raise InvalidInput(FieldError(("starttime",), sentence)) from None
    except OverflowError:
        raise InvalidInput(
            FieldError(("startdate",), "The start lies beyond the end of the calendar.")
        ) from None


def first_ahead(schedule: Schedule, now: datetime) -> datetime:
    """The first occurrence after now. Raises InvalidInput where there is none that may run."""
    first = schedule.next_after(now)
    if first is not None and schedule.first_free(first) is not None:
        return first
    if first is not None:
        field, sentence = "exclude", "All upcoming runs are on excluded days."
    elif schedule.until is not None and schedule.cadence.next_after(now) is not None:
        field, sentence = "until", "The schedule has no run before this time."
    else:
        field = "cron" if isinstance(schedule.cadence, Cron) else "startdate"
        sentence = "The schedule has no upcoming run."
    raise InvalidInput(FieldError((field,), sentence))


def require_future_start(draft: JobDraft, schedule: Schedule, now: datetime) -> None:
    """Raise InvalidInput where the start has passed."""
    if draft.startdate is None:
        return
    assert not isinstance(schedule.cadence, Never)
    start = schedule.cadence.start
    if start > now:
        return
    today = now.astimezone(ZoneInfo(draft.timezone))
    field = "starttime" if draft.startdate == today.date() and draft.starttime else "startdate"
    clock = f"{today:%Y-%m-%d %H:%M:%S} in {draft.timezone}"
    raise InvalidInput(FieldError((field,), f"The start must be in the future; it is {clock} now."))


def started(draft: Draft, now: datetime) -> Draft:
    """The draft with a start, if it leaves that to us: after its delay, or one interval from now.

    Starts are whole seconds that clocks in the job's zone show once. Raises InvalidInput where they do not.
    """
    seconds = draft.interval if draft.delay is None else draft.delay
    if draft.startdate is not None or draft.cron is not None or seconds is None:
        return draft
    start = (now + timedelta(seconds=seconds, microseconds=999_999)).replace(microsecond=0)
    wall = start.astimezone(ZoneInfo(draft.timezone)).replace(tzinfo=None)
    if comings(wall, draft.timezone) != [start]:
        sentence = f"Clocks show {wall:%H:%M} twice on that day; use UTC, or give a start."
        raise InvalidInput(FieldError(("timezone",), sentence))
    given = {"startdate": wall.date(), "starttime": wall.time(), "delay": None}
    return draft.model_copy(update=given)


async def resolved(session: Session, now: datetime, draft: Draft) -> Draft:
    """The draft with what it leaves to us: its start, and the days of its calendars. Raises InvalidInput.

    The calendars stay as they are until the transaction ends.
    """
    draft = started(draft, now)
    if not draft.calendars:
        return draft
    known = await calendars.keep_days(session, draft.calendars)
    unknown = [n for n, name in enumerate(draft.calendars) if name not in known]
    if unknown:
        raise InvalidInput(*(FieldError(("calendars", n), "There is no such calendar.") for n in unknown))
    newest = max(calendar.version for calendar in known.values())
    return draft.with_days(union(calendar.days for calendar in known.values()), newest)


async def require_project(session: Session, name: str) -> None:
    """Raise InvalidInput where there is no such project; it stays until the transaction ends."""
    if name != DEFAULT_PROJECT and not await projects.known(session, [name]):
        raise InvalidInput(FieldError(("project",), "There is no such project."))


def union(days: Iterable[Iterable[str]]) -> list[str]:
    """The days of several calendars, in order."""
    return sorted(set(chain.from_iterable(days)))


async def patched(session: Session, now: datetime, before: dict[str, Any], patch: JobPatch) -> JobDraft:
    """The job with the changes of a patch, made now. Raises InvalidInput where that is no job."""
    document = patch.applied_to(before)
    # A body may be large.
    is_small = (document.get("target") or {}).get("body") is None
    draft = draft_of_document(document) if is_small else await aside_locked(draft_of_document, document)
    return await resolved(session, now, draft)


def draft_of_document(document: Mapping[str, Any]) -> JobDraft:
    """A job from what JSON has of it. Raises InvalidInput where that is no job."""
    try:
        return JobDraft.model_validate(document)
    except ValidationError as error:
        raise InvalidInput(*field_errors_of(error.errors(include_url=False, include_input=False))) from None
