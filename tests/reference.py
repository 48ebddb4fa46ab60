"""Write what comes from the code: `python -m tests.reference`.

The tables of docs/reference, and the OpenAPI document from which the clients are generated.

A test compares the files with what this makes of the code.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from pydantic import BaseModel

from scheduler_api.app import create_app
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.fields import After
from scheduler_api.contracts.jobs.targets import Target
from scheduler_api.database.system.gauges import JobCounts
from scheduler_api.routers.http import exposition
from scheduler_api.routers.http.problems import kinds
from scheduler_api.services.system.gauges import Gauges, Sizes
from scheduler_api.settings import Settings

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
DOCUMENT = Path(__file__).parents[1] / "clients" / "python" / "openapi.json"
#: Where a table begins and ends in its page.
BEGIN, END = "<!-- {}: written by tests/reference.py -->\n", "<!-- end -->\n"


def fields(model: type[BaseModel]) -> str:
    """A table of a model's fields: type, default, meaning."""
    schema = model.model_json_schema()
    rows = [
        (
            f"`{name}`",
            _type(field, schema.get("$defs", {})),
            _default(model, name),
            field.get("description", ""),
        )
        for name, field in schema["properties"].items()
    ]
    return _table(("field", "type", "default", "meaning"), rows)


def errors() -> str:
    """A table of the codes of problems, by status."""
    found = sorted(kinds(), key=lambda kind: (kind.status, kind.code))
    rows = [(f"{kind.status}", f"`{kind.code}`", kind.title, kind.advice) for kind in found]
    return _table(("status", "code", "meaning", "what to do"), rows)


def settings() -> str:
    """A table of the settings: variable, default, meaning."""
    rows = [
        (
            f"`SCHEDULER_{name.upper()}`",
            _setting(field.get_default(call_default_factory=True)),
            f"{field.description}",
        )
        for name, field in Settings.model_fields.items()
    ]
    return _table(("variable", "default", "meaning"), rows)


def metrics(families: Callable[[], Sequence[Metric]]) -> str:
    """A table of metrics: name, type, meaning."""
    rows = [
        (
            f"`{family.name}{'_total' if family.type == 'counter' else ''}`",
            family.type,
            family.documentation,
        )
        for family in families()
        if family.name.startswith("scheduler_")
    ]
    return _table(("metric", "type", "meaning"), rows)


NOTHING, NO_BYTES = Gauges(0, 0, 0.0, JobCounts(0, 0, 0, 0), 0, 0, 0.0), Sizes(0, 0)

#: What makes the tables, by page and name.
TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "job-fields.md": {
        "job": partial(fields, JobDraft), "after": partial(fields, After), "target": partial(fields, Target),
    },
    "errors.md": {"errors": errors},
    "metrics.md": {
        "process": partial(metrics, exposition.of_process),
        "cluster": partial(
            metrics, lambda: [*exposition.of_cluster(NOTHING), *exposition.of_sizes(NO_BYTES)]
        ),
        "jobs": partial(metrics, partial(exposition.of_jobs, [], is_cut=False)),
    },
    "settings.md": {"settings": settings},
}  # fmt: skip


def written(page: str, text: str) -> str:
    """The text of a page with its tables as the code has them."""
    for name, table in TABLES[page].items():
        before, _, rest = text.partition(BEGIN.format(name))
        text = f"{before}{BEGIN.format(name)}\n{table()}\n{END}{rest.partition(END)[2]}"
    return text


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _type(field: dict[str, Any], known: dict[str, Any]) -> str:
    if "$ref" in field:
        kind = known[field["$ref"].rpartition("/")[2]]
        return " · ".join(f"`{value}`" for value in kind["enum"]) if "enum" in kind else "object"
    if "anyOf" in field:
        return " or ".join(_type(part, known) for part in field["anyOf"] if part.get("type") != "null")
    kind = field.get("type", "any JSON value")
    if kind == "integer" and "maximum" in field:
        return f"integer, {field['minimum']:,} to {field['maximum']:,}"
    names = {"date": "date", "date-time": "date and time", "array": "list of strings"}
    return names.get(field.get("format", kind), str(kind))


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "–" if value is None else f"`{json.dumps(value)}`"


def _setting(value: Any) -> str:
    if value is None or value == ():
        return "unset"
    if isinstance(value, bool):
        return "`on`" if value else "`off`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def main() -> None:
    """Bring the pages up to date, and the document from which clients are generated."""
    document = create_app(Settings(ticker=False)).openapi()
    DOCUMENT.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    for page in TABLES:
        path = FOLDER / page
        path.write_text(written(page, path.read_text()))


if __name__ == "__main__":
    main()
