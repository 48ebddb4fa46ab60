"""Two things never share a name: a reader who searches for one finds it, and nothing else."""

import ast
from collections import defaultdict
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "src" / "scheduler_api"
#: What each subject has for itself, on several floors; read with its module: `limits.remove`.
HOUSE_VERBS = {
    "add", "count", "create", "delete", "edit", "error_in", "forget", "get", "judge", "listing", "lock",
    "of_log", "pause", "put", "remove", "repaired", "resume", "settle",
}  # fmt: skip


def public(*kinds: type[ast.stmt]) -> dict[str, list[str]]:
    """The public definitions of these kinds, and the modules that have one of that name."""
    found = defaultdict(list)
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            name = getattr(node, "name", "_")
            if isinstance(node, kinds) and not name.startswith("_"):
                found[name].append(str(path.relative_to(SOURCES)))
    return found


def test_no_two_classes_share_a_name() -> None:
    assert not {name: places for name, places in public(ast.ClassDef).items() if len(places) > 1}


def test_a_function_whose_name_is_not_a_verb_of_the_house_is_in_two_modules_at_most() -> None:
    functions = public(ast.FunctionDef, ast.AsyncFunctionDef)
    assert not {n: places for n, places in functions.items() if len(places) > 2 and n not in HOUSE_VERBS}
