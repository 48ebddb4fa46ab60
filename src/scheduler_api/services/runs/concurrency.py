"""Who may start: shares of the places, limits on what runs at once and a minute, hosts that do not answer."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from scheduler_api.database.runs.claims import UNLIMITED, Closed
from scheduler_api.database.runs.counting import Bound
from scheduler_api.database.runs.due import DueLog, JobRules
from scheduler_api.database.runs.shares import Named
from scheduler_api.services.runs.shares import Asking, Reach, Room, share_out
from scheduler_api.targets.rates import Rate


class Admitted(NamedTuple):
    """A due call that may start."""

    log: DueLog
    reach: Reach
    """Up to which of the places."""


class Bounds:
    """What is free, counted down as calls are admitted."""

    crowded: bool
    """Whether due calls were left for lack of a place that they may have."""
    is_shared_out: bool
    """Whether places were shared out before all hosts that may have some had any."""

    def __init__(self, rows: Iterable[Bound], now: datetime, hostmost: int, breaks: int, room: Room) -> None:
        self._now, self._hostmost, self._breaks, self._room = now, hostmost, breaks, room
        # Runs in progress, and those of them that have a call in progress and so take a place.
        self._job_runs, self._job_calls = Counter[int](), Counter[int]()
        self._full_jobs: list[int] = []
        self._tag_runs, self._tag_calls = Counter[str](), Counter[str]()
        self._project_runs = Counter[str]()
        self._host_calls = Counter[str]()
        self._limits: dict[Named, int] = {}
        self._rates: dict[Named, Rate] = {}
        self._locked: frozenset[Named] = frozenset()
        self._down: dict[str, int] = {}
        self._failing: set[str] = set()
        # What was admitted, of all and by rate.
        self._started, self._paced = 0, Counter[Named]()
        self.crowded = self.is_shared_out = False
        for row in rows:
            kind, name, jobid, runs, calls, limit, rate, until = row
            if kind == "job":
                self._note_job(jobid, runs, calls, limit)
            elif kind == "host":
                self._host_calls[name] = calls
            elif kind == "tag":
                self._tag_runs[name] = runs
            elif kind == "busy tag":
                self._tag_calls[name] = calls
            elif kind == "project":
                self._project_runs[name] = runs
            elif kind == "down":
                self._note_failures(name, runs, until)
            else:
                self._note_limit((kind.removeprefix("limit of "), name), limit, rate, until)

    def _note_job(self, jobid: int, runs: int, calls: int, limit: int | None) -> None:
        self._job_runs[jobid], self._job_calls[jobid] = runs, calls
        if limit is not None and runs >= limit:
            self._full_jobs.append(jobid)

    def _note_failures(self, host: str, failures: int, until: datetime | None) -> None:
        self._failing.add(host)
        if failures >= self._breaks:
            # Nothing, until it is time to look whether it answers again; then one call.
            self._down[host] = 0 if until is not None and until > self._now else 1

    def _note_limit(self, named: Named, limit: int | None, rate: int | None, until: datetime | None) -> None:
        if limit is not None:
            self._limits[named] = limit
        if rate is not None:
            self._rates[named] = Rate(rate, until)

    @property
    def failing(self) -> frozenset[str]:
        """The hosts with failures on their account."""
        return frozenset(self._failing)

    def shares(self, hosts: Mapping[str, datetime]) -> dict[str, int]:
        """How many due calls of each host to look at: of hosts that have any, since when by host.

        Twice as many in all as there is room for, as some may not start for what else they are part of; and
        as many more as hosts were passed over for that, so that few looks are enough.
        """
        asking = []
        for host, since in hosts.items():
            limit = self._host_room(host)
            if limit <= 0 or host in self._room.passed.hosts or ("host", host) in self._room.passed.limits:
                continue
            # What busy jobs have due is not looked at, either.
            if not self._admits(Reach.LENT):
                self.crowded = True
            if self._admits(Reach.NEWCOMER if self._is_idle(host) else Reach.JOB):
                asking.append(Asking(host, since, self._host_calls[host], limit))
        places = self._room.limit * min(2, len(asking)) + len(self._room.passed.hosts)
        shares = share_out(asking, places)
        self.is_shared_out = len(shares) < len(asking)
        return shares

    @property
    def closed(self) -> Closed:
        """That of which nothing can start: it is full or held, or has no place left."""
        full = {one for one in {*self._limits, *self._rates} if self._left(*one) <= 0}
        full |= self._room.passed.limits
        tags, projects = ([name for scope, name in full if scope == one] for one in ("tag", "project"))
        if not self._admits(Reach.HOST):
            tags += [tag for tag, calls in self._tag_calls.items() if calls]
        idle = not self._admits(Reach.LENT)
        busy = [jobid for jobid, calls in self._job_calls.items() if idle and calls]
        return Closed([*{*self._room.passed.jobids, *self._full_jobs, *busy}], tags, projects, idle)

    @property
    def next_paced(self) -> datetime | None:
        """When the first of the rates that are used up lets a call start; None: none is used up."""
        rates = (rate._replace(busyuntil=self._used(named)) for named, rate in self._rates.items())
        return min((rate.next(self._now) for rate in rates if rate.free(self._now) <= 0), default=None)

    def admit(self, logs: Sequence[DueLog], rules: Mapping[int, JobRules]) -> list[Admitted]:
        """Those of the due calls (oldest first) that may start; their places are taken."""
        admitted = []
        for log in self._in_turn(logs):
            job = rules[log.jobid]
            if not self._fits(log, job):
                continue
            reach = self._reach(log, job.tags)
            if not self._admits(reach):
                self.crowded = True
                continue
            self._take(log, job)
            admitted.append(Admitted(log, reach))
        return admitted

    def shared_by(self, logs: Iterable[DueLog], rules: Mapping[int, JobRules]) -> set[Named]:
        """The limits on these calls that claims of calls to other hosts count, too, or that have a rate."""
        named = {one for log in logs for one in _named_by(log, rules[log.jobid])}
        return {one for one in named if self._is_shared(one)}

    def keep(self, locked: Iterable[Named]) -> None:
        """Let nothing start by a shared limit which is not among those that could be locked."""
        self._locked = frozenset(locked)

    def used_rates(self, started: Iterable[DueLog], rules: Mapping[int, JobRules]) -> dict[Named, datetime]:
        """Until when the rates are used up once these calls have started."""
        counts = self._rates_of(started, rules)
        return {named: self._rates[named].used(self._now, count) for named, count in counts.items()}

    def _rates_of(self, logs: Iterable[DueLog], rules: Mapping[int, JobRules]) -> Counter[Named]:
        if not self._rates:
            return Counter()
        named = (one for log in logs for one in _named_by(log, rules[log.jobid]))
        return Counter(one for one in named if one in self._rates)

    def _used(self, named: Named) -> datetime | None:
        rate, calls = self._rates[named], self._paced[named]
        return rate.used(self._now, calls) if calls else rate.busyuntil

    def _in_turn(self, logs: Sequence[DueLog]) -> list[DueLog]:
        """In the order in which they get places.

        Of hosts, and of the jobs of one, those with the fewest calls in progress come first; then the oldest.
        """
        if len(logs) <= self._room.free[Reach.LENT]:
            return list(logs)
        jobs, hosts = self._job_calls.copy(), self._host_calls.copy()
        by_job, by_host = [], []
        for age, log in enumerate(logs):
            jobs[log.jobid] += 1
            by_job.append((jobs[log.jobid], age, log))
        by_job.sort()
        for _, age, log in by_job:
            hosts[_host(log)] += 1
            by_host.append((hosts[_host(log)], age, log))
        by_host.sort()
        return [log for _, _, log in by_host]

    def _fits(self, log: DueLog, job: JobRules) -> bool:
        """Whether all limits let it start."""
        limit = job.concurrency if job.concurrency or job.overlap else 1
        if limit is not None and self._job_runs[log.jobid] >= limit:
            return False
        named = _named_by(log, job)
        return all(
            self._left(*one) > 0 and (not self._is_shared(one) or one in self._locked) for one in named
        )

    def _is_shared(self, named: Named) -> bool:
        return named in self._rates or (named in self._limits and named[0] != "host")

    def _reach(self, log: DueLog, tags: Iterable[str]) -> Reach:
        if self._job_calls[log.jobid]:
            return Reach.LENT
        if not self._is_idle(_host(log)):
            return Reach.JOB
        return Reach.HOST if any(self._tag_calls[tag] for tag in tags) else Reach.NEWCOMER

    def _admits(self, reach: Reach) -> bool:
        return self._started < self._room.free[reach]

    def _take(self, log: DueLog, job: JobRules) -> None:
        self._started += 1
        self._job_runs[log.jobid] += 1
        self._job_calls[log.jobid] += 1
        self._host_calls[_host(log)] += 1
        self._tag_runs.update(job.tags)
        self._tag_calls.update(job.tags)
        self._project_runs[job.project] += 1
        self._paced.update(named for named in _named_by(log, job) if named in self._rates)

    def _is_idle(self, host: str) -> bool:
        return not self._host_calls[host]

    def _host_room(self, host: str) -> int:
        return self._left("host", host)

    def _left(self, scope: str, name: str) -> int:
        """How many more may start by the limits on a host, a tag or a project."""
        named = scope, name
        if scope == "host":
            limit = self._down.get(name, self._limits.get(named, self._hostmost)) - self._host_calls[name]
        else:
            runs = self._tag_runs if scope == "tag" else self._project_runs
            limit = self._limits.get(named, UNLIMITED) - runs[name]
        rate = self._rates.get(named)
        return limit if rate is None else min(limit, rate.free(self._now) - self._paced[named])


def _host(log: DueLog) -> str:
    assert log.host is not None
    return log.host


def _named_by(log: DueLog, job: JobRules) -> list[Named]:
    """The limits, where there are such, that a call counts against."""
    return [("host", _host(log)), *(("tag", tag) for tag in job.tags), ("project", job.project)]
