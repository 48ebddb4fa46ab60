"""What a release has promised: names that programs go by. `python -m tests.promised` writes down today's.

See docs/reference/stability.md. It is run when a release is made. Between releases the file changes only for
names that were announced to go, and have gone.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from prometheus_client import Metric

from scheduler_api import cli
from scheduler_api.app import create_app
from scheduler_api.database.tables import metadata
from scheduler_api.routers.http import exposition
from scheduler_api.routers.http.problems import kinds
from scheduler_api.settings import Settings
from tests.reference import NO_BYTES, NOTHING

RECORD = Path(__file__).with_name("promised.json")
#: What people read by SQL.
TABLES = ("job", "joblog", "logattempt", "logline", "jobtally", "auditevent")
METHODS = ("get", "put", "post", "patch", "delete")

Names = dict[str, list[str]]


def names() -> Names:
    """All names that are promised, by what they are names of."""
    document = create_app(Settings(ticker=False)).openapi()
    return {
        "operations": sorted(_operations(document)),
        "fields": sorted(_fields(document)),
        "problems": sorted(kind.code for kind in kinds()),
        "metrics": sorted(_metrics()),
        "settings": sorted(f"SCHEDULER_{name.upper()}" for name in Settings.model_fields),
        "commands": sorted(_commands(cli.main)),
        "columns": sorted(
            f"{name}.{column.name}" for name in TABLES for column in metadata.tables[name].columns
        ),
    }


def _operations(document: dict[str, Any]) -> Iterator[str]:
    """Addresses with their methods, and what can be asked at each."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                name = f"{method.upper()} {path}"
                yield name
                yield f"{name} = {item[method]['operationId']}"
                asked = item[method].get("parameters", [])
                yield from (f"{name} ? {one['in']} {one['name']}" for one in asked if "name" in one)


def _fields(document: dict[str, Any]) -> Iterator[str]:
    """The fields of bodies and answers, and the words that stand in them."""
    for name, schema in document["components"]["schemas"].items():
        yield from (f"{name}.{field}" for field in schema.get("properties", {}))
        yield from (f"{name} = {word}" for word in schema.get("enum", ()))


def _metrics() -> Iterator[str]:
    makers: Sequence[Callable[[], Sequence[Metric]]] = (
        exposition.of_process,
        lambda: exposition.of_cluster(NOTHING),
        lambda: exposition.of_sizes(NO_BYTES),
        lambda: exposition.of_jobs([], is_cut=False),
    )
    families = (family for make in makers for family in make())
    yield from (family.name for family in families if family.name.startswith("scheduler_"))


def _commands(group: click.Group) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from (f"{name} {one}" for one in _commands(command))
            continue
        yield name
        yield from (
            f"{name} {said}"
            for parameter in command.params
            for said in (parameter.opts if isinstance(parameter, click.Option) else [f"{parameter.name}"])
        )


def recorded() -> Names:
    """What was promised."""
    found: Names = json.loads(RECORD.read_text())
    return found


def main() -> None:
    """Promise what there is."""
    RECORD.write_text(json.dumps(names(), indent=1) + "\n")


if __name__ == "__main__":
    main()
