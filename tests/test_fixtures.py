"""What lives from test to test leaves the tests alone."""

import ast
from pathlib import Path

HERE = Path(__file__).parent
#: The database that every test finds empty.
SHARED = {"worker_database", "connections", "database", "settings"}
#: They wait for their test: the application that is made once, and what is made of it, begins with each.
MADE_FOR_ALL = {"connections", "settings", "application", "guarded", "federated"}


def test_what_outlives_its_test_has_a_database_of_its_own() -> None:
    """A service that goes on in the database of all tests meddles with them, now and then."""
    lasting = {}
    for path in HERE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _outlives_a_test(node):
                lasting[f"{path.relative_to(HERE)}: {node.name}"] = node
    assert {"conftest.py: application", "routers/http/test_openapi.py: address"} <= lasting.keys()
    found = {place: node for place, node in lasting.items() if SHARED & {arg.arg for arg in node.args.args}}
    assert not [place for place, node in found.items() if node.name not in MADE_FOR_ALL]


def _outlives_a_test(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    calls = [decorator for decorator in node.decorator_list if isinstance(decorator, ast.Call)]
    return any(
        ast.unparse(call.func).endswith("fixture") and any(word.arg == "scope" for word in call.keywords)
        for call in calls
    )
