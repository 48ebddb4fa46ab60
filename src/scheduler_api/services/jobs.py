"""Creating, reading, listing, editing and deleting jobs."""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

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
from scheduler_api.database.jobs import changes, definitions, lists
from scheduler_api.database.runs import logs, pending
from scheduler_api.errors import InvalidInput, JobNotFound, ScheduleUnusable
from scheduler_api.schedule import Future, Reason
from scheduler_api.services import chains, retiming, standing
from scheduler_api.services.differences import difference, recorded
from scheduler_api.services.drafts import first_ahead, require_future_start, schedule_of_draft
from scheduler_api.services.standing import Held


async def create(session: AsyncSession, now: datetime, draft: JobDraft, client: str | None = None) -> Job:
    """Create a job with the promise of its first run. Raises InvalidInput where it has none ahead."""
    schedule = schedule_of_draft(draft)
    require_future_start(draft, schedule, now)
    if draft.after is not None:
        await chains.require_parent(session, draft.after)
    first = None if draft.after is not None else first_ahead(schedule, now)
    values = draft.model_dump() | {"host": draft.host}
    jobid = await definitions.create(session, now, values, None if draft.active else first)
    nextrun = None
    if draft.active and first is not None:
        future = Future(schedule, draft.maxruns)
        nextrun = await standing.promise(session, now, values | {"jobid": jobid}, future, first)
    await changes.record(session, now, jobid, "created", client, after=recorded(written(values)))
    return Job(
        **values,
        jobid=jobid,
        state="active" if draft.active else "paused",
        pausedat=None if draft.active else now,
        pausereason=None,
        pauseduntil=None,
        pauseid=None,
        nextrun=nextrun,
        lastrun=None,
        laststatus=None,
        version=1,
        createdat=now,
    )


async def get(session: AsyncSession, jobid: int) -> Job:
    """The job. Raises JobNotFound."""
    row = await definitions.one(session, jobid)
    if row is None:
        raise JobNotFound(jobid)
    return Job.model_validate(dict(row))


async def get_summary(session: AsyncSession, jobid: int) -> JobSummary:
    """The job without the headers and the body of its target. Raises JobNotFound."""
    row = await definitions.summary(session, jobid)
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
    rows = await logs.logs(session, filters, limit)
    return await in_turns(lambda row: Log.model_validate(dict(row)), rows)


async def names(session: AsyncSession, jobids: Sequence[int]) -> Mapping[int, Mapping[str, Any]]:
    """What each of these jobs is called, and whether it still `calls` a target, by jobid."""
    return await definitions.names(session, jobids)


async def changes_of(session: AsyncSession, jobid: int, before: int, limit: int) -> list[Change]:
    """Up to `limit` changes of the job older than a changeid, newest first. Raises JobNotFound."""
    await get_summary(session, jobid)
    return await newest_changes(session, jobid, before, limit)


async def newest_changes(session: AsyncSession, jobid: int, before: int, limit: int) -> list[Change]:
    """The same of a job that is there."""
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

    What was due by the old schedule alone is written off as superseded. A completed job
    that gets a future is active again. Raises InvalidInput, JobNotFound, JobIsDeleted, StaleVersion.
    """
    held = await standing.hold(session, now, jobid, version)
    now = held.now
    before = written(held.job) | {"target": await definitions.target(session, jobid)}
    draft = patched(before, patch)
    values = draft.model_dump() | {"host": draft.host}
    after = written(values)
    changed = [name for name in after if after[name] != before[name]]
    if changed:
        state = await retiming.retime(session, now, held, draft, changed)
        await definitions.edit(session, jobid, values, state)
        if "target" in changed:
            await pending.rehost(session, jobid, draft.host)
        was, became = difference(before, after)
        if state.validfrom == now:
            was["validfrom"], became["validfrom"] = plain(held.job["validfrom"]), plain(now)
            became["kept"] = [plain(end) for end in state.kept]
        await changes.record(session, now, jobid, "edited", client, was, became)
    return await get(session, jobid)


async def _close(session: AsyncSession, now: datetime, held: Held) -> None:
    """Take back the promise, and write off what was due; a schedule that can not be computed had nothing."""
    await standing.take_back(session, held)
    first, jobid = held.open_from, held.job["jobid"]
    if first is None or first > now:
        return
    # Or nobody could delete such a job.
    with contextlib.suppress(ScheduleUnusable):
        future = standing.future_of(held.job, await logs.standing(session, jobid))
        await standing.write_off(session, now, jobid, future, first, now, Reason.DELETED)


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
        await definitions.remove(session, jobid)
        return
    await _close(session, now, held)
    await logs.cancel_requests(session, now, jobid)
    await definitions.bury(session, now, jobid)
    await changes.record(session, now, jobid, "deleted", client)


def written(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the author wrote of a job, as JSON has it."""
    return {name: plain(values[name]) for name in definitions.WRITTEN}


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
