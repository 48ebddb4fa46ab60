"""What holds for each of a job's logs by itself, whatever its schedule; and what was found by a check."""

from collections import Counter
from datetime import datetime
from time import monotonic

from scheduler_api.contracts.history.checks import Finding, JobCheck
from scheduler_api.database.jobs import definitions
from scheduler_api.database.jobs.rows import JobRow
from scheduler_api.database.runs import invariants
from scheduler_api.database.runs.tallies import ClosedDays
from scheduler_api.database.statements import Session
from scheduler_api.schedule.days import Days
from scheduler_api.services.history.versions import ScheduleVersions

#: Findings that are listed one by one, of each kind and in all.
MAX_FINDINGS = 100
#: What of a job changes when it goes on.
STANDING = ("nextoccurrence", "resumefrom", "state", "version")
#: What is wrong with logs of each fault that the database finds.
FAULTS = {
    "early": "began before its instant",
    "backwards": "ended before it began",
    "unstarted": "has finished, and never began",
    "unsent": "has finished, and calls a target, but no attempt of it has",
    "uncalled": "has finished without a call, though the job has a target",
    "contradicted": "has failed, though an attempt of it has finished",
    "sent": "was skipped, though a request was made",
    "deleted": "was skipped as the job was deleted, which it is not",
    "elsewhere": "is to call another host than the job",
}


class Findings:
    """What was looked at, and what was wrong."""

    def __init__(self, jobid: int, give_up: float) -> None:
        """`give_up` is when, by this process' own clock, there is no time to look further."""
        self._jobid, self._give_up = jobid, give_up
        self._is_complete = True
        self._counts = dict.fromkeys(("hole", "double", "stray", "miscount", "invariant"), 0)
        self._listed, self._last = Counter[str](), dict[str, int]()
        self._before = 0
        self.findings: list[Finding] = []
        """Of each kind the first hundred; the last of these stands for those after it."""
        self.expected = self.accounted = self.rows = 0
        self.computed = True
        """Whether all schedules that the job has had could be computed."""

    def has_time(self) -> bool:
        """Whether there is time to look further; if not, the report says so."""
        self._is_complete = self._is_complete and monotonic() < self._give_up
        return self._is_complete

    def cut_short(self) -> None:
        """It takes too long."""
        self._is_complete = False

    def count(self, occurrences: int, rows: int) -> None:
        """So many, all expected and all accounted for."""
        self.expected += occurrences
        self.accounted += occurrences
        self.rows += rows

    @property
    def seen(self) -> int:
        """How many logs were held against a schedule."""
        return self.rows + self._counts["stray"] - self._before

    def find(self, kind: str, at: datetime | None, count: int, detail: str) -> None:
        """Write down that something is wrong, `count` times, first at an instant."""
        self._counts[kind] += count
        self._listed[kind] += 1
        if self._listed[kind] <= MAX_FINDINGS:
            self._last[kind] = len(self.findings)
            self.findings.append(Finding(kind=kind, at=at, count=count, detail=detail))
        else:
            last = self.findings[self._last[kind]]
            self.findings[self._last[kind]] = last.model_copy(update={"count": last.count + count})

    def take_over(self, closed: ClosedDays) -> None:
        """Add what was found before, on days that are closed."""
        self.count(closed.accounted, closed.rows)
        for document in closed.findings or []:
            finding = Finding.model_validate(document)
            self.find(finding.kind, finding.at, finding.count, finding.detail)
            self.expected += finding.count if finding.kind == "hole" else 0
        self._before = self.seen

    def result(self) -> JobCheck:
        """All that was found."""
        return JobCheck(
            jobid=self._jobid,
            clean=not any(self._counts.values()),
            expected=self.expected,
            accounted=self.accounted,
            rows=self.rows,
            holes=self._counts["hole"],
            doubles=self._counts["double"],
            strays=self._counts["stray"],
            miscounts=self._counts["miscount"],
            invariants=self._counts["invariant"],
            findings=self.findings[:MAX_FINDINGS],
            complete=self._is_complete,
        )


async def check_logs(
    session: Session, versions: ScheduleVersions, days: Days, earlier: int, report: Findings
) -> None:
    """What holds for each log by itself, how many of them ran, and that none was left out above.

    `earlier` is how often the schedule had made the job run before these days.
    """
    job = versions.job
    of_days = invariants.OfDays(days.since, days.first, days.end)
    rows = await invariants.tally(session, job.jobid, versions.targeted, of_days)
    for row in rows:
        if row.fault is not None:
            more = f", and {row.count - 1} more like it" if row.count > 1 else ""
            said = f"Log {row.logid} {FAULTS[row.fault]}{more}."
            report.find("invariant", row.first, row.count, said)
    accounted, ran = sum(row.accounted for row in rows), sum(row.ran for row in rows)
    counted = max([earlier, *(row.runs for row in rows)])
    if ran > counted:
        report.find("invariant", None, 1, f"It has run {ran} times, but {counted} are counted.")
    if job.maxruns is not None and max(ran, counted) > job.maxruns:
        said = f"It has run {max(ran, counted)} times; maxruns is {job.maxruns}."
        report.find("invariant", None, 1, said)
    goes_on = job.goes_on
    spent = job.maxruns is not None and counted >= job.maxruns
    if spent and goes_on is not None and await _stands_still(session, job):
        report.find("invariant", goes_on, 1, "It is to run again, but has run as often as maxruns says.")
    if (
        accounted > report.seen
        and report.computed
        and report.has_time()
        and await _stands_still(session, job)
    ):
        said = "They lie outside of the time that the job's schedules account for."
        report.find("stray", None, accounted - report.seen, said)


async def _stands_still(session: Session, job: JobRow) -> bool:
    """Whether the job is as it was when it was read; if it has gone on, new logs were not looked at."""
    now = await definitions.one(session, job.jobid)
    return now is not None and all(getattr(now, name) == getattr(job, name) for name in STANDING)
