"""A run gets its final status in one place: everything that follows from it is sure to follow."""

import ast
import re
from pathlib import Path

import scheduler_api
from tests.database.test_statements import statements

SRC = Path(scheduler_api.__file__).parent
#: What writes rows of logs: the changes to their status, or the rows with one.
WRITES = re.compile(
    r"UPDATE joblog SET\s+(?:(?!FROM|WHERE).)*?status = |INSERT INTO joblog \([^)]*\bstatus\b", re.DOTALL
)


def test_two_statements_write_final_statuses() -> None:
    writing = {name for name, one in statements().items() if WRITES.search(one.text)}
    assert writing == {
        "runs.settling.RAN",
        "runs.settling.SKIPPED",
        # These begin runs, or begin them anew.
        "runs.claims.START",
        "runs.attempts.RETRY",
    }


def test_only_the_doors_run_them() -> None:
    callers = {"ran": set[str](), "skip": set[str]()}
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Attribute(ast.Name("statements" | "settling"), "ran" | "skip" as name):
                    callers[name].add(path.relative_to(SRC).as_posix())
    assert callers == {"ran": {"services/runs/settling.py"}, "skip": {"services/jobs/skipping.py"}}
