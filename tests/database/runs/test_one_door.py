"""A run gets its final status in one place: everything that follows from it is sure to follow."""

import ast
import re
from pathlib import Path

import scheduler_api
from tests.database.test_statements import statements

SRC = Path(scheduler_api.__file__).parent
#: What writes rows of logs: the changes to their status, or the rows with one.
WRITES = re.compile(
    r"UPDATE joblog SET\s+(?:(?!FROM|WHERE).)*?\bstatus\s*=|INSERT INTO joblog \([^)]*\bstatus\b", re.DOTALL
)


def test_final_statuses_are_written_in_one_place() -> None:
    writing = {name for name, one in statements().items() if WRITES.search(one.sql)}
    assert writing == {
        "runs.settling.SETTLED",
        "runs.settling.SETTLED_CALLS",
        "runs.settling.SETTLED_LOOKING",
        "runs.settling.SETTLED_CALLS_LOOKING",
        "runs.settling.WRITTEN_OFF",
        # These begin runs, or begin them anew.
        "runs.claims.START",
        "runs.claims.START_LOOKING",
        "runs.reported.BEGIN",
        "runs.attempts.RETRY",
        "runs.settling.TRIED_AGAIN",
        # Moves what has its status.
        "runs.parts.SWEEP",
    }


def names_of_the_doors(tree: ast.AST) -> dict[str, str]:
    """What a module calls the two functions that run them, by however it imports them."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for one in node.names:
                called = one.asname or one.name
                if (node.module, one.name) == ("scheduler_api.database.runs", "settling"):
                    names |= {f"{called}.ran": "ran", f"{called}.skip": "skip"}
                elif node.module == "scheduler_api.database.runs.settling" and one.name in {"ran", "skip"}:
                    names[called] = one.name
    return names


def test_only_the_doors_run_them() -> None:
    callers = {"ran": set[str](), "skip": set[str]()}
    for path in SRC.rglob("*.py"):
        tree = ast.parse(path.read_text())
        doors = names_of_the_doors(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute | ast.Name) and (door := doors.get(ast.unparse(node))):
                callers[door].add(path.relative_to(SRC).as_posix())
    assert callers == {"ran": {"services/runs/settling.py"}, "skip": {"services/jobs/skipping.py"}}
