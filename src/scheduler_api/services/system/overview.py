"""How the service as a whole does: what is wrong, since when, and what to do."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

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
from scheduler_api.database.statements import Session
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
    session: Session,
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
        what="This replica is not working.",
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
            "Check /readyz and the logs of each replica. A concurrency limit or an unreachable host may "
            "hold runs back: the page of the run says so."
        )
    else:
        action = "No scheduler process is running. Start one, and make sure that SCHEDULER_TICKER is on."
    waited = duration(int((now - first["nextrun"]).total_seconds()))
    runs = "run is" if len(late) == 1 else "runs are"
    return [
        Issue(
            kind=IssueKind.LATE,
            what=f"{count} {runs} late (the oldest by {waited})",
            since=first["nextrun"],
            why=f"The oldest is a run of “{first['jobname']}”.",
            action=action,
            jobid=first["jobid"],
            logid=first["logid"],
            timezone=first["timezone"],
        )
    ]


async def _crowd(session: Session, now: datetime, crowded: float) -> list[Issue]:
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
            what=f"This replica is at capacity ({count} runs due)",
            since=now - timedelta(seconds=crowded),
            why="Due runs have found no free slot since then. Some may also wait for a limit.",
            action="Start another replica, raise SCHEDULER_CONCURRENCY, or shorten slow targets’ timeouts.",
        )
    ]


def _streak(times: int) -> str:
    if times == 1:
        return ""
    return f" {'at least ' if times == MAX_STREAK else ''}{times:,} times in a row"


async def _hosts(session: Session, now: datetime) -> list[Issue]:
    return [
        Issue(
            kind=IssueKind.HOST,
            what=f"{row['host']} is unreachable ({row['failures']:,} consecutive failures)",
            since=row["since"],
            why=row["error"],
            action="Check that host. Runs to it wait, and one tries "
            + (
                f"in {duration(int((row['openuntil'] - now).total_seconds()))}"
                if row["openuntil"] > now
                else "next"
            )
            + ". Failed runs can be retried from the runs page.",
        )
        for row in await overview.hosts(session, SHOWN)
    ]


async def _jobs(session: Session, now: datetime) -> list[Issue]:
    failing = [
        Issue(
            kind=IssueKind.FAILING,
            what=f"“{row['jobname']}” failed{_streak(row['times'])}",
            since=row["since"],
            why=row["error"],
            action="Check the response, fix the target, then retry.",
            jobid=row["jobid"],
            logid=row["logid"],
            timezone=row["timezone"],
        )
        for row in await overview.failing(session, now - DAY, MAX_STREAK, SHOWN)
    ]
    given_up = [
        Issue(
            kind=IssueKind.GIVENUP,
            what=f"“{row['jobname']}” was paused automatically",
            since=row["pausedat"],
            why=row["pausereason"],
            action="Fix the target, then resume. Missed runs follow the job’s catch-up policy.",
            jobid=row["jobid"],
            timezone=row["timezone"],
        )
        for row in await overview.given_up(session, SHOWN)
    ]
    return failing + given_up + await _repaired(session, now)


async def _repaired(session: Session, now: datetime) -> list[Issue]:
    return [
        Issue(
            kind=IssueKind.REPAIRED,
            what=f"The next run of “{row['jobname']}” was "
            + ("missing and has been repaired" if row["was"] is None else "too late and has been repaired"),
            since=row["at"],
            why=f"Was: {row['was'] or 'none'}. Is: {row['became'] or 'none: the schedule is over'}.",
            action="Find out who changed the tables or the database’s clock.",
            jobid=row["jobid"],
            timezone=row["timezone"],
        )
        for row in await overview.repaired(session, now - DAY, SHOWN)
    ]


async def _transactions(session: Session, now: datetime) -> list[Issue]:
    return [
        Issue(
            kind=IssueKind.TRANSACTION,
            what=f"A transaction has been open for {duration(int((now - row['since']).total_seconds()))}",
            since=row["since"],
            why=_whose(row),
            action="It delays runs while it is open. End it, for example with pg_terminate_backend(pid).",
        )
        for row in await overview.old_transactions(session, now - OLD, SHOWN)
    ]


def _whose(row: Mapping[str, Any]) -> str:
    name = row["application_name"] or "a program that gives no name"
    return f"It is that of {name}." if row["pid"] is None else f"It is that of {name}, pid {row['pid']}."
