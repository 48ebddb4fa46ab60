"""How the service as a whole does: what is wrong, since when, and what to do."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from scheduler_api.contracts.history.timeline import Tally
from scheduler_api.contracts.system.overview import (
    Issue,
    IssueKind,
    LastError,
    LateRun,
    Overview,
    RunningRun,
)
from scheduler_api.database.runs import history, passes
from scheduler_api.database.system import overview
from scheduler_api.schedule.wording import duration
from scheduler_api.services.system import health, restore
from scheduler_api.services.system.health import LATE

#: How far back runs are counted, and how many of them.
DAY, MAX_COUNTED = timedelta(days=1), 50_000
#: How many of each kind are named.
SHOWN = 20
#: Failures in a row are counted up to this.
MAX_STREAK = 1000
#: A transaction that has been open for so long keeps the server from cleaning up.
OLD = timedelta(minutes=5)
#: What waits so long does not wait for a busy moment to pass.
STUCK = timedelta(seconds=30)


async def look(
    session: AsyncSession,
    now: datetime,
    told: Sequence[str] = (),
    *,
    paused: bool = False,
    crowded: float = 0.0,
) -> Overview:
    """Everything that an operator wants to know first.

    `told` is what the replica itself says is wrong; `paused`, whether it waits until somebody confirms that
    the database was restored; `crowded`, for how many seconds due calls have found no place in it.
    """
    total = await overview.totals(session, now - DAY, now, MAX_COUNTED)
    running = await overview.running(session, SHOWN)
    medians = await history.medians(session, sorted({row["jobid"] for row in running}))
    late = await overview.late(session, now - LATE, SHOWN)
    _, oldest = await passes.oldest(session)
    replicas = await overview.replicas(session)
    error = await overview.last_error(session)
    return Overview(
        now=now,
        issues=[
            *(_replica_issue(sentence) for sentence in told),
            *await restore.told(session, now, paused=paused),
            *_lateness(now, late, replicas),
            *await _crowd(session, now, crowded),
            *await _transactions(session, now),
            *await _hosts(session, now),
            *await _jobs(session, now),
        ],
        total=Tally(**total),
        complete=total["logs"] < MAX_COUNTED,
        running=[_running(row, medians.get(row["jobid"])) for row in running],
        late=[LateRun(**row) for row in late],
        lag=0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()),
        oldestpending=oldest,
        replicas=replicas,
        lasterror=error and LastError(**error),
    )


def _running(row: Mapping[str, Any], usual: timedelta | None) -> RunningRun:
    values = {name: row[name] for name in RunningRun.model_fields if name != "usual"}
    return RunningRun(**values, usual=usual and usual.total_seconds())


def _replica_issue(sentence: str) -> Issue:
    return Issue(
        kind=IssueKind.REPLICA,
        what="This replica does not do its work.",
        since=None,
        why=sentence,
        action="Check its log and its connection to the database. Another replica takes over meanwhile.",
    )


def _lateness(now: datetime, late: Sequence[Mapping[str, Any]], replicas: Sequence[str]) -> list[Issue]:
    if not late or now - late[0]["nextrun"] < STUCK:
        return []
    first = late[0]
    count = f"{len(late)}" if len(late) < SHOWN else f"At least {SHOWN}"
    if replicas:
        action = (
            "Look at /readyz and at the log of each replica. Where calls wait, a limit of concurrency or a "
            "host that does not answer may hold them back: the page of the log says so."
        )
    else:
        action = (
            "No replica runs what is due. Start one, and see that SCHEDULER_TICKER is not off everywhere."
        )
    waited = duration(int((now - first["nextrun"]).total_seconds()))
    runs = "run waits" if len(late) == 1 else "runs wait"
    return [
        Issue(
            kind=IssueKind.LATE,
            what=f"{count} {runs} that should have begun; the oldest for {waited}.",
            since=first["nextrun"],
            why=f"The oldest is one of “{first['jobname']}”.",
            action=action,
            jobid=first["jobid"],
            logid=first["logid"],
            timezone=first["timezone"],
        )
    ]


async def _crowd(session: AsyncSession, now: datetime, crowded: float) -> list[Issue]:
    """That calls wait as this replica makes as many as it may, for longer than a busy moment."""
    if crowded < STUCK.total_seconds():
        return []
    waiting = await health.waiting(session, now)
    if not waiting.calls:
        return []
    count = f"{'at least ' if waiting.calls == health.MAX_COUNTED else ''}{waiting.calls:,}"
    return [
        Issue(
            kind=IssueKind.CROWDED,
            what=f"This replica is at capacity ({count} calls due).",
            since=now - timedelta(seconds=crowded),
            why="Due calls have found no free place since. Some may also wait for a limit.",
            action="Start another replica, or raise SCHEDULER_CONCURRENCY. Shorten timeouts of slow targets.",
        )
    ]


def _streak(times: int) -> str:
    if times == 1:
        return "the last run"
    return f"{'at least ' if times == MAX_STREAK else ''}the last {times:,} runs"


async def _hosts(session: AsyncSession, now: datetime) -> list[Issue]:
    return [
        Issue(
            kind=IssueKind.HOST,
            what=f"The host {row['host']} does not answer: {row['failures']:,} failures in a row.",
            since=row["since"],
            why=row["error"],
            action="Look at that host. Until it answers, calls to it wait"
            + (
                f", and one tries in {duration(int((row['openuntil'] - now).total_seconds()))}"
                if row["openuntil"] > now
                else ", and the next one tries at once"
            )
            + ". What has failed meanwhile can be tried again from the page of runs.",
        )
        for row in await overview.hosts(session, SHOWN)
    ]


async def _jobs(session: AsyncSession, now: datetime) -> list[Issue]:
    failing = [
        Issue(
            kind=IssueKind.FAILING,
            what=f"“{row['jobname']}” fails: {_streak(row['times'])}.",
            since=row["since"],
            why=row["error"],
            action="See what it answered in its log; mend the target or the job, then try the run again.",
            jobid=row["jobid"],
            logid=row["logid"],
            timezone=row["timezone"],
        )
        for row in await overview.failing(session, now - DAY, MAX_STREAK, SHOWN)
    ]
    given_up = [
        Issue(
            kind=IssueKind.GIVENUP,
            what=f"“{row['jobname']}” was paused, as it failed too often.",
            since=row["pausedat"],
            why=row["pausereason"],
            action="Mend what it calls, then resume it; what it has missed is caught up as its policy says.",
            jobid=row["jobid"],
            timezone=row["timezone"],
        )
        for row in await overview.given_up(session, SHOWN)
    ]
    return failing + given_up + await _repaired(session, now)


async def _repaired(session: AsyncSession, now: datetime) -> list[Issue]:
    return [
        Issue(
            kind=IssueKind.REPAIRED,
            what=f"The next run of “{row['jobname']}” was "
            + ("missing, and was repaired." if row["was"] is None else "too late, and was repaired."),
            since=row["at"],
            why=f"Was: {row['was'] or 'none'}. Is: {row['became'] or 'none, as the schedule is over'}.",
            action="Find out who changed the tables, or the clock of the database.",
            jobid=row["jobid"],
            timezone=row["timezone"],
        )
        for row in await overview.repaired(session, now - DAY, SHOWN)
    ]


async def _transactions(session: AsyncSession, now: datetime) -> list[Issue]:
    return [
        Issue(
            kind=IssueKind.TRANSACTION,
            what=f"A transaction has been open for {duration(int((now - row['since']).total_seconds()))}.",
            since=row["since"],
            why=_whose(row),
            action="It makes runs late as long as it stays open. End it, as with pg_terminate_backend(pid).",
        )
        for row in await overview.old_transactions(session, now - OLD, SHOWN)
    ]


def _whose(row: Mapping[str, Any]) -> str:
    name = row["application_name"] or "a program that gives no name"
    return f"It is that of {name}." if row["pid"] is None else f"It is that of {name}, pid {row['pid']}."
