"""What a run shows, in figures and in words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.calm import Blame, Clock
from tests.chaos.cases import cases
from tests.chaos.checker import Verdict
from tests.chaos.clocks import library
from tests.chaos.collect import recoveries
from tests.chaos.evidence import Evidence
from tests.chaos.lateness import Lateness
from tests.chaos.plan import Deeds, Plan
from tests.chaos.told import delays, unexplained

SHOWN = 40


@dataclass
class Report:
    """What a run did, and what came of it."""

    plan: Plan
    deeds: Deeds
    evidence: Evidence
    verdict: Verdict
    started: int
    """How many replicas were started."""
    rested: float
    """Seconds from the last fault until everything was at rest."""
    folder: Path | None = None
    """Where the evidence is kept."""

    @property
    def violations(self) -> list[str]:
        """Everything that is wrong."""
        return self.verdict.violations

    def __str__(self) -> str:
        lines = [f"{name:<34}{value}" for name, value in self._rows()]
        if self.violations:
            lines += ["", f"{len(self.violations)} violations:", *self._shown()]
        if self.folder is not None:
            lines += ["", f"evidence: {self.folder}"]
        return "\n".join(lines)

    def _shown(self) -> list[str]:
        """Of each kind some."""
        kinds = Counter(violation.partition(":")[0] for violation in self.violations)
        shown = [", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())]
        for kind in kinds:
            of_kind = [violation for violation in self.violations if violation.partition(":")[0] == kind]
            shown += of_kind[: max(3, SHOWN // len(kinds))]
        return shown

    def count(self, kind: str) -> int:
        """How many violations are of a kind."""
        return sum(violation.startswith(kind) for violation in self.violations)

    def _rows(self) -> list[tuple[str, object]]:
        evidence, deeds = self.evidence, self.deeds
        faults = ", ".join(f"{name} {count}" for name, count in sorted(deeds.faults.items()))
        omitted = [(f"no “{kind}”", why) for kind, why in sorted(deeds.omitted.items())]
        return [
            ("seed", self.plan.seed),
            ("seconds of faults", f"{self.plan.seconds:g}"),
            ("replicas killed", len(deeds.kills)),
            ("database crashes", deeds.crashes),
            ("faults", faults),
            *omitted,
            ("replicas started", self.started),
            ("jobs", len(evidence.made)),
            ("occurrences", f"{self.verdict.occurrences:,}"),
            ("rows of the ledger", f"{len(evidence.logs):,}"),
            ("of these", self._statuses()),
            ("lost", self.count("lost")),
            ("doubled in the ledger", self.count("doubled")),
            *self._deliveries(),
            ("lateness of plain runs", _spread(self._lateness(calling=False))),
            ("lateness of calls", _spread(self._lateness(calling=True))),
            ("lateness that no fault explains", _spread(self._unexplained())),
            ("time that no fault explains", self._calm()),
            (
                "calls of killed replicas",
                _spread([r.total_seconds() for r in recoveries(evidence, deeds.kills)]),
            ),
            ("database back after a crash", _spread(deeds.recoveries)),
            ("issues, alerts and messages", self._alerts()),
            ("alerts until they arrived", _spread(delays(evidence))),
            ("of that, what nothing explains", _spread(unexplained(evidence))),
            ("requests to the service", self._answers()),
            (
                "connections at rest",
                "{1} of {0} allowed, {2} left in a transaction".format(*evidence.connections),
            ),
            ("at rest after", f"{self.rested:.1f} s"),
            ("clocks of replicas", "up to an hour off" if library() else "not moved: that needs libfaketime"),
            ("jobs whose coverage is not judged", self.verdict.unjudged),
            ("violations", len(self.violations)),
        ]

    def _statuses(self) -> str:
        """What the rows say that have been decided; and what they count as missed beside themselves."""
        rows = [log for log in self.evidence.logs if log.is_over]
        counts = Counter(log.status for log in rows)
        reasons = Counter(log.reason for log in rows if log.status == "skipped")
        why = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
        skipped = f"{counts['skipped']:,}" + (f" ({why})" if why else "")
        missed = sum(log.missed for log in rows if log.status != "skipped")
        absent = sum(log.missed for log in rows if log.status == "skipped")
        return (
            f"finished {counts['finished']:,}, failed {counts['failed']:,}, skipped {skipped},"
            f" missed {missed:,} counted by runs and {absent:,} by skips"
        )

    def _unexplained(self) -> list[float]:
        lateness = Lateness(self.evidence)
        return [late.total_seconds() for case in cases(self.evidence) for _, late in lateness.starts(case)]

    def _calm(self) -> str:
        """How much of the run the bounds on lateness say something about by themselves."""
        start = min((made.start for made in self.evidence.made), default=self.evidence.now)
        blame = Blame.of(self.evidence.faults)
        whole = max((self.evidence.now - start).total_seconds(), 1.0)
        plain, calls = (
            calm.between(start, self.evidence.now).total_seconds()
            for calm in (blame.everybody, blame.calling)
        )
        return f"{plain:.0f} s for plain jobs, {calls:.0f} s for calls, of {whole:.0f} s"

    def _deliveries(self) -> list[tuple[str, object]]:
        requests = self.evidence.requests
        per_log = Counter(request.logid for request in requests)
        again = sum(per_log.values()) - len(per_log)
        share = 100 * again / max(1, len(requests))
        after_success = self._repeated_successes()
        return [
            ("requests at the target", f"{len(requests):,} of {len(per_log):,} runs"),
            ("duplicate deliveries", f"{again:,} ({share:.1f} %), {after_success:,} after an answer of 2xx"),
        ]

    def _repeated_successes(self) -> int:
        """How many requests came after one of the same run had been answered with success."""
        done: set[int] = set()
        repeated = 0
        for request in self.evidence.requests:
            repeated += request.logid in done
            if request.answer == 200:
                done.add(request.logid)
        return repeated

    def _lateness(self, *, calling: bool) -> list[float]:
        """Of the jobs that nobody paused: what a pause holds back is not late."""
        paused = {change.jobid for change in self.evidence.changes if change.action == "paused"}
        clock = Clock(self.evidence.steps)
        return [
            (log.startedat - log.scheduledfor).total_seconds()
            for log in self.evidence.logs
            if log.startedat is not None
            and not clock.is_false(log.startedat)
            and log.cause == "schedule"
            and log.jobid not in paused
            and (log.host is not None) == calling
        ]

    def _alerts(self) -> str:
        evidence = self.evidence
        once = len({message.messageid for message in evidence.messages})
        again = len(evidence.messages) - once
        return (
            f"{len(evidence.issues):,} issues, {len(evidence.alerts):,} alerts in {once:,} messages,"
            f" {again:,} of them again"
        )

    def _answers(self) -> str:
        counts: Counter[str] = Counter()
        for order in self.evidence.orders:
            known = "" if order.status is None else f"{order.status} {order.code}".strip()
            counts[known or "no answer"] += 1
        return ", ".join(f"{name}: {count:,}" for name, count in counts.most_common())


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "none"
    ordered = sorted(values)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, longest {ordered[-1]:.2f} s ({len(ordered):,})"
