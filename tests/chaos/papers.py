"""What a run leaves in writing: kept where it was asked for, and wherever something was wrong."""

import pickle
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.cases import Case, cases
from tests.chaos.coverage import grids
from tests.chaos.evidence import Evidence
from tests.chaos.plan import Deeds, Plan

if TYPE_CHECKING:
    from tests.chaos.report import Report

EVIDENCE = "evidence.pickle"
#: Jobs that are told of one by one, and instants of each that are.
JOBS_SHOWN, INSTANTS_SHOWN = 50, 2000


class Papers:
    """A folder: the replicas' logs, the database's, the receiver's requests, and what came of it all."""

    def __init__(self, folder: Path, *, kept: bool) -> None:
        self.folder = folder
        self._kept = kept

    @classmethod
    def of(cls, plan: Plan) -> "Papers":
        """In the folder that the plan names, or in one that is gone afterwards if nothing was wrong."""
        if plan.folder is not None:
            plan.folder.mkdir(parents=True, exist_ok=True)
            return cls(plan.folder, kept=True)
        folder = Path(tempfile.mkdtemp(prefix=f"scheduler-chaos-{plan.seed}-"))
        return cls(folder, kept=False)

    def write(self, name: str, text: str) -> None:
        """Write something down."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def story(self, deeds: Deeds) -> None:
        """What was done, and when."""
        self.write("story.txt", "\n".join(deeds.story))

    def keep(self, report: "Report") -> None:
        """Write down what came of a run; kept for good if anything was wrong."""
        (self.folder / EVIDENCE).write_bytes(pickle.dumps(report.evidence))
        self.write("violations.txt", "\n".join(report.violations))
        self._kept = self._kept or bool(report.violations)
        if report.violations:
            report.folder = self.folder
            for jobid, case in _accused(report.evidence, report.violations).items():
                self.write(f"jobs/{jobid}.txt", _told(case, report.evidence))
        self.write("report.txt", str(report))

    def close(self) -> None:
        """Throw away what nobody needs."""
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)


def evidence_in(folder: Path) -> Evidence:
    """What an earlier run has found."""
    found: Evidence = pickle.loads((folder / EVIDENCE).read_bytes())
    return found


def _accused(evidence: Evidence, violations: list[str]) -> dict[int, Case]:
    """The jobs that violations speak of, by jobid."""
    jobs = {int(number) for line in violations for number in re.findall(r"\bjob (\d+)", line)}
    logs = {int(number) for line in violations for number in re.findall(r"\blog (\d+)", line)}
    jobs |= {log.jobid for log in evidence.logs if log.logid in logs}
    chosen = sorted(jobs)[:JOBS_SHOWN]
    return {case.made.jobid: case for case in cases(evidence) if case.made.jobid in chosen}


def _told(case: Case, evidence: Evidence) -> str:
    """All that is known of a job: who wrote what, what was to happen when, what did, and which faults."""
    parts: dict[str, list[object]] = {"as written": [case.made], "changes": list(case.changes)}
    parts["schedules"] = list(grids(case))
    parts["instants of the schedule"] = []
    for grid in grids(case):
        last = min(grid.to or evidence.now, evidence.now)
        numbers = range(grid.count(grid.since), grid.count(last))
        parts["instants of the schedule"] += [str(grid.at(number)) for number in numbers[:INSTANTS_SHOWN]]
    parts["rows"] = list(case.all_logs)
    parts["attempts"] = [attempt for several in case.attempts.values() for attempt in several]
    parts["requests"] = [request for several in case.requests.values() for request in several]
    parts["faults"] = list(evidence.faults)
    return "\n".join(line for title, rows in parts.items() for line in ("", f"# {title}", *map(str, rows)))
