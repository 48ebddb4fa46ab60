"""Every statement is one that the server takes, and gives the rows that its type says."""

import importlib
import pkgutil
import re
import types
from datetime import date, datetime, time, timedelta
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest

from scheduler_api import database as package
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import DRIVER, Session, Statement

#: What the driver makes of a column's type.
PYTHON = {
    "int2": int, "int4": int, "int8": int, "text": str, "varchar": str, "name": str, "bool": bool,
    "float8": float, "jsonb": dict, "logstatus": str, "logcause": str, "runkind": str,
    "timestamptz": datetime, "date": date, "time": time, "interval": timedelta, "uuid": UUID, "bytea": bytes,
}  # fmt: skip


def statements() -> dict[str, Statement[Any]]:
    """The statements of all modules that hold SQL, by where they are."""
    found = {}
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(info.name)
        several = {f"{name}[{key}]": one for name, value in vars(module).items() if isinstance(value, dict)
                   for key, one in value.items()}  # fmt: skip
        for name, value in (vars(module) | several).items():
            if isinstance(value, Statement) and name not in found:
                found[f"{info.name.removeprefix('scheduler_api.database.')}.{name}"] = value
    return found


def may_be(hint: Any) -> set[Any]:
    """The types that a hint allows; lists as lists of whatever."""
    kinds = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
    return {get_origin(kind) or kind for kind in kinds}


#: What is asked only where tables are distributed (see `test_cells`).
OF_CELLS = {name for name, one in statements().items() if re.search(r"\bcell\b", one.sql)}


@pytest.mark.parametrize("name", sorted(statements().keys() - OF_CELLS))
async def test_the_server_takes_it_and_gives_rows_of_its_type(database: Database, name: str) -> None:
    statement = statements()[name]

    async def columns(session: Session) -> list[tuple[str, str]]:
        prepared = await session.info[DRIVER].prepare(statement.sql)
        return [(column.name, column.type.name) for column in prepared.get_attributes()]

    given = await database.read(columns)
    if statement.row is None:
        return
    hints = get_type_hints(statement.row)
    named = [column for column, _ in given]
    left_out = list(hints)[len(named) :]
    assert [*named, *left_out] == list(hints)
    assert set(left_out) <= set(getattr(statement.row, "_field_defaults", {}))
    for column, kind in given:
        expected = list if kind.startswith("_") or kind.endswith("[]") else PYTHON[kind]
        assert expected in may_be(hints[column]), f"{column} is {kind}"
