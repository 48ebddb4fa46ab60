"""Who may start: limits on what runs at once, of a job, a tag, a host; and hosts that do not answer."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from scheduler_api.database.calls import DueCall


class Bounds:
    """What is free, counted down as logs are admitted."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], now: datetime, hostmost: int, breaks: int) -> None:
        self._hostmost = hostmost
        self._jobs: Counter[int] = Counter()
        self._hosts: Counter[str] = Counter()
        self._tags: Counter[str] = Counter()
        self._full_jobs: list[int] = []
        self._limits: dict[str, int] = {}
        self._down: dict[str, int] = {}
        self._tag_limits: dict[str, int] = {}
        failing = set()
        for row in rows:
            kind, name, number, most, until = row.values()
            if kind == "job":
                self._jobs[int(name)] = number
                if most is not None and number >= most:
                    self._full_jobs.append(int(name))
            elif kind == "host" and name is not None:
                self._hosts[name] = number
            elif kind == "tag":
                self._tags[name], self._tag_limits[name] = number, most
            elif kind == "limit":
                self._limits[name] = most
            elif kind == "down":
                failing.add(name)
                if number >= breaks:
                    # Nothing, until it is time to look whether it answers again; then one call.
                    self._down[name] = 0 if until is not None and until > now else 1
        self.failing = frozenset(failing)

    @property
    def full(self) -> tuple[list[str], list[int], list[str]]:
        """The hosts, jobs and tags that have no place left."""
        known = {*self._hosts, *self._down}
        hosts = [host for host in known if self._hosts[host] >= self._limit(host)]
        tags = [tag for tag, most in self._tag_limits.items() if self._tags[tag] >= most]
        return hosts, self._full_jobs, tags

    @property
    def bind(self) -> bool:
        """Whether anything has no place left."""
        return any(self.full)

    def admits(self, entry: DueCall, job: Mapping[str, Any]) -> bool:
        """Whether the log may start; if so, its place is taken."""
        most = job["concurrency"] if job["concurrency"] or job["overlap"] else 1
        tags = [tag for tag in job["tags"] if tag in self._tag_limits]
        if most is not None and self._jobs[entry.jobid] >= most:
            return False
        if self._hosts[entry.host] >= self._limit(entry.host):
            return False
        if any(self._tags[tag] >= self._tag_limits[tag] for tag in tags):
            return False
        self._jobs[entry.jobid] += 1
        self._hosts[entry.host] += 1
        self._tags.update(tags)
        return True

    def _limit(self, host: str) -> int:
        return self._down.get(host, self._limits.get(host, self._hostmost))
