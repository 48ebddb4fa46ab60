"""Jobs that run after others: no circles, no run forgotten."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from scheduler_api.contracts.jobs.fields import After
from scheduler_api.contracts.values import DEFAULT_PROJECT
from scheduler_api.database.jobs import chains, definitions
from scheduler_api.database.jobs.chains import Link
from scheduler_api.database.runs import pending
from scheduler_api.database.runs.results import Skipped
from scheduler_api.database.statements import Session
from scheduler_api.errors import FieldError, InvalidInput, JobHasFollowers, enumerated
from scheduler_api.schedule import Reason
from scheduler_api.services.jobs.skipping import skip

#: The most jobs in a row, each after the one before.
LONGEST = 100
#: How many followers an error names.
MAX_NAMED = 5


class EndedRun(NamedTuple):
    """A run that has finished or failed."""

    jobid: int
    logid: int
    status: str


async def links(session: Session, jobids: Sequence[int]) -> list[Link]:
    """Which jobs run after any of these, and after which ends."""
    return await chains.links(session, sorted({*jobids})) if jobids else []


async def fire(session: Session, now: datetime, links: Sequence[Link], ended: Sequence[EndedRun]) -> None:
    """Ask for the runs that come after these, in the transaction that gives them their results.

    A paused follower does not run, and its ledger says so.
    """
    runs = defaultdict(list)
    for run in ended:
        runs[run.jobid].append(run)
    after = [
        (link.jobid, run.logid)
        for link in links
        for run in runs[link.afterjobid]
        if link.on in {"any", run.status}
    ]
    followers = await chains.fire(session, now, after) if after else []
    asleep = [one for one in followers if not one.active]
    rows = [Skipped(one.jobid, now, Reason.PAUSED, parentlogid=one.parentlogid) for one in asleep]
    await skip(session, now, rows)
    if len(followers) > len(asleep):
        await pending.announce(session)


async def require_parent(session: Session, after: After, project: str, jobid: int | None = None) -> None:
    """Raise InvalidInput where a job of a project cannot run after that one; without a jobid, a new job."""
    # Two edits at once could each see no circle, and make one together.
    await chains.take_turn(session)
    parent = await definitions.share(session, after.jobid)
    # Of those in other projects nothing is told.
    if parent is None or parent.deletedat is not None or parent.project != project:
        where = "" if project == DEFAULT_PROJECT else f" in the project {project}"
        raise InvalidInput(FieldError(("after", "jobid"), f"Job {after.jobid} does not exist{where}."))
    chain = await chains.chain(session, after.jobid, LONGEST)
    if jobid is not None and jobid in chain:
        circle = " → ".join(map(str, [*reversed(chain[: chain.index(jobid) + 1]), jobid]))
        raise InvalidInput(FieldError(("after", "jobid"), f"That would be a circle: {circle}."))
    if len(chain) >= LONGEST:
        raise InvalidInput(FieldError(("after", "jobid"), f"A chain has at most {LONGEST} jobs."))


async def require_no_followers(session: Session, jobid: int) -> None:
    """Raise JobHasFollowers where others run after the job: they would wait forever."""
    found = await chains.followers(session, jobid, MAX_NAMED + 1)
    if found:
        named = enumerated(found, MAX_NAMED)
        raise JobHasFollowers(f"Job {jobid} is followed by other jobs: {named}. Delete or change them first.")
