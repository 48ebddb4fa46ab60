"""Issues: what needs attention on the overview, why, and what to do about it."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from scheduler_api.contracts.alerts.issues import JobIssueKind
from scheduler_api.contracts.system.overview import Issue, IssueKind, Restore
from scheduler_api.database.alerts.channels import ChannelRow
from scheduler_api.database.alerts.issues import IssueRow
from scheduler_api.database.runs.breakers import UnreachableHost
from scheduler_api.database.system.overview import (
    FailingJob,
    GivenUpJob,
    LateRow,
    OldTransaction,
    RepairedJob,
)
from scheduler_api.wording import alerts
from scheduler_api.wording.schedules import duration


def replica(name: str, sentence: str) -> Issue:
    """A replica says of itself that it does not do its work."""
    return Issue(
        kind=IssueKind.REPLICA,
        what=f"Replica {name} is not working",
        since=None,
        why=sentence,
        action="Check its log and its connection to the database. Another replica takes over meanwhile.",
    )


def late(now: datetime, rows: Sequence[LateRow], replicas: Sequence[str], limit: int) -> Issue:
    """Runs are late, the oldest first; at most `limit` rows were read."""
    first, runs = rows[0], "run is" if len(rows) == 1 else "runs are"
    count = f"{len(rows)}" if len(rows) < limit else f"At least {limit}"
    oldest = "" if len(rows) == 1 else "the oldest "
    if replicas:
        action = (
            "Check /readyz and the logs of each replica. A concurrency limit or an unreachable host may "
            "hold runs back: the page of the run says so."
        )
    else:
        action = "No scheduler process is running. Start one, and make sure that SCHEDULER_TICKER is on."
    return Issue(
        kind=IssueKind.LATE,
        what=f"{count} {runs} late ({oldest}by {_since(first.nextrun, now)})",
        since=first.nextrun,
        why=f"The oldest is a run of “{first.jobname}”.",
        action=action,
        jobid=first.jobid,
        logid=first.logid,
        timezone=first.timezone,
    )


def unreachable(name: str, since: datetime, seconds: float) -> Issue:
    """A replica could not reach the database for a while; it can again."""
    return Issue(
        kind=IssueKind.DATABASE,
        what=f"Replica {name} could not reach the database for {duration(int(seconds))}",
        since=since,
        why="What was due meanwhile ran in another replica, or late.",
        action="Check the database’s log and the network. The runs show what was late or missed.",
    )


def crowded(name: str, since: datetime, calls: int, limit: int) -> Issue:
    """Due runs find no free slot in a replica; they were counted up to `limit`."""
    count = f"{'at least ' if calls == limit else ''}{calls:,}"
    return Issue(
        kind=IssueKind.CROWDED,
        what=f"Replica {name} is at capacity ({count} runs due)",
        since=since,
        why="Due runs have found no free slot since then. Some may also wait for a limit.",
        action="Start another replica, raise SCHEDULER_CONCURRENCY, or shorten slow targets’ timeouts.",
    )


def disk(days: float) -> Issue:
    """The disk of the embedded server is full in so many days, at the rate of late."""
    when = (
        "in less than a day" if days < 1 else f"in about {days:.0f} {'day' if round(days) == 1 else 'days'}"
    )
    return Issue(
        kind=IssueKind.DISK,
        what=f"The disk will be full {when}",
        since=None,
        why="History grows, and a full disk stops the database, and with it all runs.",
        action="Make room on the disk, or keep history for fewer days with SCHEDULER_KEEP_HISTORY.",
    )


def unexported(day: date) -> Issue:
    """The days from that one on would go, if they had been exported."""
    return Issue(
        kind=IssueKind.EXPORT,
        what=f"History since {day} is waiting to be exported",
        since=None,
        why="It is older than SCHEDULER_KEEP_HISTORY, and SCHEDULER_EXPORT_BEFORE_DROP keeps it.",
        action="Run scheduler-api export --release, and find out why it has not run.",
    )


def host(now: datetime, row: UnreachableHost) -> Issue:
    """A host does not answer."""
    is_left_alone = row.openuntil is not None and row.openuntil > now
    again = f"in {_since(now, row.openuntil or now)}" if is_left_alone else "next"
    return Issue(
        kind=IssueKind.HOST,
        what=f"{row.host} is unreachable ({row.failures:,} consecutive failures)",
        since=row.since,
        why=row.error,
        action=f"Check that host. Runs to it wait, and one tries {again}. "
        "Failed runs can be retried from the runs page.",
    )


def failing(row: FailingJob) -> Issue:
    """The last run of a job has failed, and maybe some before it."""
    streak = f" {row.times:,} times in a row" if row.times > 1 else ""
    return Issue(
        kind=IssueKind.FAILING,
        what=f"“{row.jobname}” failed{streak}",
        since=row.since,
        why=row.error,
        action="Check the response, fix the target, then retry.",
        jobid=row.jobid,
        logid=row.logid,
        timezone=row.timezone,
        runbook=row.runbook,
    )


def given_up(row: GivenUpJob) -> Issue:
    """The service has paused a job, as it failed."""
    return Issue(
        kind=IssueKind.GIVENUP,
        what=f"“{row.jobname}” was paused automatically",
        since=row.pausedat,
        why=row.pausereason,
        action="Fix the target, then resume. Missed runs follow the job’s catch-up policy.",
        jobid=row.jobid,
        timezone=row.timezone,
        runbook=row.runbook,
    )


def beside_results(row: IssueRow) -> Issue:
    """What is wrong with a job beside the result of its last run."""
    return Issue(
        kind=IssueKind(row.kind),
        what=alerts.title_of_issue(JobIssueKind(row.kind), row.jobname, row.times),
        since=row.since,
        why=row.error,
        action=_ACTIONS[JobIssueKind(row.kind)],
        jobid=row.jobid,
        logid=row.logid,
        timezone=row.timezone,
    )


_ACTIONS = {
    JobIssueKind.MISSED: "Check whether the service was down, or the run before took too long. The job’s "
    "catch-up policy decides what becomes of missed runs.",
    JobIssueKind.STUCK: "Check the target, or cancel the run.",
    JobIssueKind.SILENT: "Explain its last occurrences on its page.",
}


def channel(row: ChannelRow) -> Issue:
    """A channel does not take what it is sent."""
    return Issue(
        kind=IssueKind.CHANNEL,
        what=f"Alerts do not reach {row.name}",
        since=row.failingsince,
        why=row.error,
        action="Check the channel, then send it a test. What it does not take for 24 hours is given up.",
    )


def unsent(now: datetime, since: datetime) -> Issue:
    """No replica sends alerts that wait."""
    return Issue(
        kind=IssueKind.CHANNEL,
        what=f"Alerts have been waiting for {_since(since, now)}",
        since=since,
        why="No process sends them.",
        action="Start a process with SCHEDULER_TICKER on.",
    )


def repaired(row: RepairedJob) -> Issue:
    """A job's next run was missing, or too late, for no reason that is known."""
    what = "missing" if row.was is None else "too late"
    return Issue(
        kind=IssueKind.REPAIRED,
        what=f"The next run of “{row.jobname}” was {what} and has been repaired",
        since=row.at,
        why=f"Was: {row.was or 'none'}. Is: {row.became or 'none: the schedule is over'}.",
        action="Find out who changed the tables or the database’s clock.",
        jobid=row.jobid,
        timezone=row.timezone,
    )


def transaction(now: datetime, row: OldTransaction) -> Issue:
    """A transaction has been open for long."""
    name = row.application_name or "a program without a name"
    return Issue(
        kind=IssueKind.TRANSACTION,
        what=f"A transaction has been open for {_since(row.since, now)}",
        since=row.since,
        why=f"It belongs to {name}." if row.pid is None else f"It belongs to {name}, pid {row.pid}.",
        action="It delays runs while it is open. End it, for example with pg_terminate_backend(pid).",
    )


def restored(found: Restore, *, paused: bool) -> Issue:
    """The database was restored, and nobody has confirmed it; `paused`: this replica waits for that."""
    known = "an unknown time" if found.lastknown is None else f"{found.lastknown:%Y-%m-%d %H:%M:%S} UTC"
    meanwhile = "This replica runs nothing until then." if paused else "Runs continue meanwhile."
    return Issue(
        kind=IssueKind.RESTORED,
        what="The database was restored, or another server has taken over",
        since=found.restoredat,
        why=f"Changes after {known} may be missing. Runs since then are repeated; targets can recognize "
        "them by their webhook-id. New runs and jobs get ids that were never used before.",
        action=f"Review the jobs and repeat lost edits. Then confirm. {meanwhile}",
    )


def _since(since: datetime, now: datetime) -> str:
    return duration(int((now - since) / timedelta(seconds=1)))
