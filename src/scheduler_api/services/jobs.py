"""Creating, reading, listing, editing and deleting jobs."""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.computing import in_turns
from scheduler_api.contracts import (
    Change,
    History,
    Job,
    JobDraft,
    JobPatch,
    JobSummary,
    JobWithLogs,
    Log,
    flaws_of,
)
from scheduler_api.database import changes, jobs, ledger, promises
from scheduler_api.database import listing as lists
from scheduler_api.errors import Flaw, InvalidInput, JobNotFound, ScheduleUnusable
from scheduler_api.schedule import Cron, Never, Once, Reason, Schedule, StartInGap, schedule_of
from scheduler_api.services import chains, standing
from scheduler_api.services.differences import difference, recorded
from scheduler_api.services.standing import Held


async def create(session: AsyncSession, now: datetime, draft: JobDraft, client: str | None = None) -> Job:
    """Create a job with the promise of its first run. Raises InvalidInput where it has none ahead."""
    schedule = schedule_of_draft(draft)
    _require_future_start(draft, schedule, now)
    if draft.after is not None:
        await chains.require_parent(session, draft.after)
    first = None if draft.after is not None else _first_ahead(schedule, now)
    values = draft.model_dump() | {"host": draft.host}
    jobid = await jobs.create(session, now, values, None if draft.active else first)
    nextrun = None
    if draft.active and first is not None:
        nextrun = await standing.promise(session, now, values | {"jobid": jobid}, schedule, first)
    await changes.record(session, now, jobid, "created", client, after=recorded(written(values)))
    return Job(
        **values,
        jobid=jobid,
        state="active" if draft.active else "paused",
        pausedat=None if draft.active else now,
        pausereason=None,
        pauseduntil=None,
        nextrun=nextrun,
        lastrun=None,
        laststatus=None,
        version=1,
        createdat=now,
    )


async def get(session: AsyncSession, jobid: int) -> Job:
    """The job. Raises JobNotFound."""
    row = await jobs.one(session, jobid)
    if row is None:
        raise JobNotFound(jobid)
    return Job.model_validate(dict(row))


async def get_summary(session: AsyncSession, jobid: int) -> JobSummary:
    """The job without the headers and the body of its target. Raises JobNotFound."""
    row = await jobs.summary(session, jobid)
    if row is None:
        raise JobNotFound(jobid)
    return JobSummary.model_validate(dict(row))


async def get_with_logs(
    session: AsyncSession, jobid: int, limit: int, before: int | None = None
) -> JobWithLogs:
    """The job and up to `limit` of its logs, newest first; with `before`, older than that logid."""
    job = await get(session, jobid)
    filters = {"jobid": jobid} if before is None else {"jobid": jobid, "before": before}
    return JobWithLogs(job=job, logs=await list_logs(session, filters, limit))


async def list_logs(session: AsyncSession, filters: Mapping[str, Any], limit: int) -> list[Log]:
    """Up to `limit` logs that pass the filters (see ledger.FILTERS), newest first."""
    rows = await ledger.logs(session, filters, limit)
    return await in_turns(lambda row: Log.model_validate(dict(row)), rows)


async def names(session: AsyncSession, jobids: Sequence[int]) -> Mapping[int, Mapping[str, Any]]:
    """What each of these jobs is called, and whether it still `calls` a target, by jobid."""
    return await jobs.names(session, jobids)


async def changes_of(session: AsyncSession, jobid: int, before: int, limit: int) -> list[Change]:
    """Up to `limit` changes of the job older than a changeid, newest first. Raises JobNotFound."""
    await get_summary(session, jobid)
    return await in_turns(Change.model_validate, await changes.newest(session, jobid, before, limit))


async def listing(
    session: AsyncSession,
    filters: Mapping[str, Any],
    sort: str,
    after: tuple[int, Any] | None,
    limit: int,
) -> list[JobSummary]:
    """Up to `limit` jobs that pass the filters (see listing.FILTERS), in order, after a place in it."""
    rows = await lists.page(session, filters, sort, after, limit)
    return await in_turns(lambda row: JobSummary.model_validate(dict(row)), rows)


async def edit(
    session: AsyncSession,
    now: datetime,
    jobid: int,
    patch: JobPatch,
    version: int | None = None,
    client: str | None = None,
) -> Job:
    """Change a job's definition, and re-time what it promised; its state stays.

    What was due by the old schedule and has not run is written off as superseded. A completed job
    that gets a future is active again. Raises InvalidInput, JobNotFound, JobIsDeleted, StaleVersion.
    """
    held = await standing.hold(session, now, jobid, version)
    now = held.now
    before = written(held.job) | {"target": await jobs.target(session, jobid)}
    draft = patched(before, patch)
    values = draft.model_dump() | {"host": draft.host}
    after = written(values)
    changed = [name for name in after if after[name] != before[name]]
    if changed:
        state = await _retime(session, now, held, draft, changed)
        await jobs.edit(session, jobid, values, *state)
        if "target" in changed:
            await promises.rehost(session, jobid, draft.host)
        was, became = difference(before, after)
        if state[1] == now:
            was["validfrom"], became["validfrom"] = plain(held.job["validfrom"]), plain(state[1])
        await changes.record(session, now, jobid, "edited", client, was, became)
    return await get(session, jobid)


async def _retime(
    session: AsyncSession, now: datetime, held: Held, draft: JobDraft, changed: list[str]
) -> tuple[bool, datetime, datetime | None]:
    """Put the promise where the new definition wants it; the job's active, validfrom and resumefrom."""
    job = held.job
    same = (job["active"], job["validfrom"], job["resumefrom"])
    redefined = draft.definition != standing.definition_of(job) or "after" in changed
    if not redefined and not {"jitter", "maxruns"} & set(changed):
        return same
    schedule = schedule_of_draft(draft)
    carried = await ledger.standing(session, job["jobid"])
    runs = carried["runs"] or 0
    if draft.maxruns is not None and runs >= draft.maxruns and (redefined or "maxruns" in changed):
        raise InvalidInput(Flaw(("maxruns",), f"Must be more than {runs}: so often it has run already."))
    first: datetime | None
    if redefined:
        if {"startdate", "starttime"} & set(changed) or isinstance(schedule.cadence, Once):
            _require_future_start(draft, schedule, now)
        if draft.after is not None:
            await chains.require_parent(session, draft.after, job["jobid"])
        await _supersede(session, now, held, carried)
        first, validfrom = None if draft.after is not None else _first_ahead(schedule, now), now
    else:
        first, validfrom = _first_open(held, schedule, now, carried["accounted"])
    if held.is_paused:
        return False, validfrom, first
    await standing.take_back(session, held)
    if first is None:
        # Completed, but for a run under way: that retires the job when it settles.
        return bool(held.under_way) or draft.after is not None, validfrom, None
    timed = {"jobid": job["jobid"], "jitter": draft.jitter, "overlap": draft.overlap}
    await standing.go_on(session, now, held, timed, schedule, first, carried)
    return True, validfrom, None


def _first_open(
    held: Held, schedule: Schedule, now: datetime, accounted: datetime | None
) -> tuple[datetime | None, datetime]:
    """The first open occurrence of a schedule that stays, and since when it holds."""
    validfrom: datetime = held.job["validfrom"]
    if held.open_from is not None:
        return held.open_from, validfrom
    if held.job["active"]:
        return schedule.next_after(max(accounted or validfrom, validfrom)), validfrom
    # It was completed; with a future, it goes on from now.
    first = schedule.next_after(max(accounted or now, now))
    return first, now if first is not None else validfrom


async def _supersede(session: AsyncSession, now: datetime, held: Held, carried: Mapping[str, Any]) -> None:
    """Write off what was due by the old schedule; forget what was skipped of it ahead of its time."""
    await ledger.forget_ahead(session, held.job["jobid"], now)
    await _close(session, now, held, Reason.SUPERSEDED, carried)


async def _close(
    session: AsyncSession, now: datetime, held: Held, reason: Reason, carried: Mapping[str, Any]
) -> None:
    """Take back the promise, and write off what was due; a schedule that can not be computed had nothing."""
    await standing.take_back(session, held)
    first = held.open_from
    if first is None or first > now:
        return
    # Or nobody could mend or delete such a job.
    with contextlib.suppress(ScheduleUnusable):
        schedule = standing.schedule_in(held.job)
        await standing.write_off(session, now, held.job, schedule, first, now, reason, carried)


async def delete(
    session: AsyncSession,
    now: datetime,
    jobid: int,
    history: History,
    version: int | None = None,
    client: str | None = None,
) -> None:
    """Delete a job: nothing of it starts any more; a call under way may end. Its history stays, or goes.

    What was just being asked for, such as a run after another, may be promised still; its claim skips it.
    """
    held = await standing.hold(session, now, jobid, version, deleted=history is History.REMOVE)
    now = held.now
    await chains.require_no_followers(session, jobid)
    if history is History.REMOVE:
        await jobs.remove(session, jobid)
        return
    await _close(session, now, held, Reason.DELETED, await ledger.standing(session, jobid))
    await ledger.cancel_requests(session, now, jobid)
    await jobs.bury(session, now, jobid)
    await changes.record(session, now, jobid, "deleted", client)


def written(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the author wrote of a job, as JSON has it."""
    return {name: plain(values[name]) for name in jobs.WRITTEN}


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if hasattr(value, "isoformat") else value


def patched(before: dict[str, Any], patch: JobPatch) -> JobDraft:
    """The job with the changes of a patch. Raises InvalidInput where that is no job."""
    try:
        return JobDraft.model_validate(patch.applied_to(before))
    except ValidationError as error:
        raise InvalidInput(*flaws_of(error.errors(include_url=False, include_input=False))) from None


def schedule_of_draft(draft: JobDraft) -> Schedule:
    """The draft's schedule. Raises InvalidInput where it can not be computed."""
    try:
        return schedule_of(draft.definition)
    except StartInGap:
        sentence = "The clocks jump over this time on that day, and dstgap says not to run then."
        raise InvalidInput(Flaw(("starttime",), sentence)) from None
    except OverflowError:
        raise InvalidInput(Flaw(("startdate",), "The start lies beyond the end of the calendar.")) from None


def _first_ahead(schedule: Schedule, now: datetime) -> datetime:
    """The first occurrence after now. Raises InvalidInput where there is none that may run."""
    first = schedule.next_after(now)
    if first is not None and schedule.first_free(first) is not None:
        return first
    if first is not None:
        field, sentence = "exclude", "All of the runs ahead are excluded."
    elif schedule.until is not None and schedule.cadence.next_after(now) is not None:
        field, sentence = "until", "The schedule has no run from now up to then."
    else:
        field = "cron" if isinstance(schedule.cadence, Cron) else "startdate"
        sentence = "The schedule has no run ahead."
    raise InvalidInput(Flaw((field,), sentence))


def _require_future_start(draft: JobDraft, schedule: Schedule, now: datetime) -> None:
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
    raise InvalidInput(Flaw((field,), f"The start must be in the future; it is {clock} now."))
