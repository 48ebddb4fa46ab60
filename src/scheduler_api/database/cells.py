"""Statements for distributed tables: each that locks or changes rows of jobs names one cell.

What distributes tables over several servers, such as Citus, has to find in a statement on which of them its
rows are. They are where their job is, in the cell `jobid % cells`. Statements are written without that: it is
added here, once to each, where the database says that its tables are distributed (decision 37).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlglot import exp, parse_one

from scheduler_api.database.tables import CELLED

#: What statements call whom they are about, the most telling first.
KEYS = ("jobid", "jobids", "logid", "logids")
#: Where tables are distributed, ids may be given (see `distribution`); the parser does not know it.
GIVEN_IDS = "OVERRIDING SYSTEM VALUE"
NAMES = frozenset(table.name for table in CELLED)
#: What a statement says that may lock or change something; to read others closely takes time.
MAY_BE_BOUND = re.compile(r"INSERT INTO|UPDATE|DELETE FROM|FOR SHARE")


class Celled(NamedTuple):
    """A statement that names one cell, as its last parameter but that for the id of a new job."""

    sql: str
    key: str | None
    """The parameter by which the cell is found; None: nothing tells, each cell is asked."""
    along: frozenset[str]
    """The parameters that go with the key, item by item."""
    is_new: bool
    """Whether it adds a job. Its id is drawn before, as it tells the cell, and is the very last parameter."""

    def split(self, values: dict[str, Any], cells: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each cell with the values for it, in order, given the cell of each item of the key."""
        items: dict[int, list[int]] = {}
        for number, cell in enumerate(cells):
            items.setdefault(cell, []).append(number)
        # Of no item there may be a row all the same, such as a count.
        for cell in sorted(items) or [0]:
            chosen = items.get(cell, [])
            # A list in which nothing stands may have been left empty.
            yield (
                cell,
                values
                | {
                    name: [values[name][number] for number in chosen] if values[name] else []
                    for name in self.along
                },
            )


def celled(sql: str, names: Sequence[str]) -> Celled | None:
    """A statement with these parameters; None: it locks and changes nothing that is distributed."""
    if not MAY_BE_BOUND.search(sql) or not any(name in sql for name in NAMES):
        return None
    tree = parse_one(sql.replace(GIVEN_IDS, ""), read="postgres")
    if not _is_bound(tree):
        return None
    cell = _parameter(len(names) + 1)
    is_new = False
    for table in list(tree.find_all(exp.Table)):
        if table.name in NAMES and not isinstance(table.parent, exp.Lock):
            owner = table.find_ancestor(exp.Select, exp.Insert, exp.Update, exp.Delete)
            if isinstance(owner, exp.Insert):
                is_new |= _add_cell(owner, table.name, cell)
            elif owner is not None:
                _name_cell(owner, table, cell)
    key = next((name for name in KEYS if name in names and _tells(tree, names, name)), None)
    return Celled(tree.sql(dialect="postgres"), key, _along(tree, names, key), is_new)


def _is_bound(tree: exp.Expr) -> bool:
    """Whether a statement locks or changes rows of distributed tables."""
    changed = {_table(change.this) for change in tree.find_all(exp.Insert, exp.Update, exp.Delete)}
    locked = {
        name
        for select in tree.find_all(exp.Select)
        for lock in select.args.get("locks") or ()
        for name in [table.name for table in lock.expressions] or _read_by(select)
    }
    return not NAMES.isdisjoint(changed | locked)


def _table(expression: exp.Expression) -> str:
    table = expression.find(exp.Table)
    assert table is not None
    return table.name


def _read_by(select: exp.Select) -> Iterator[str]:
    """The tables that a query itself reads."""
    for source in (select.args.get("from_"), *(select.args.get("joins") or ())):
        if source is not None and isinstance(source.this, exp.Table):
            yield source.this.name


def _name_cell(owner: exp.Expression, table: exp.Table, cell: exp.Parameter) -> None:
    """Read, or change, only what is in the cell."""
    in_cell = exp.EQ(this=exp.column("cell", table=table.alias_or_name), expression=cell.copy())
    join = table.parent
    if not isinstance(join, exp.Join) or not join.side:
        # No copy: what is inside is still to name its cell.
        where = owner.args.get("where")
        both = exp.and_(in_cell, where.this, copy=False) if where else in_cell
        owner.set("where", exp.Where(this=both))
    elif using := join.args.get("using"):
        join.set("using", [*using, exp.to_identifier("cell")])
    else:
        join.set("on", exp.and_(in_cell, join.args["on"], copy=False))


def _add_cell(insert: exp.Insert, name: str, cell: exp.Parameter) -> bool:
    """Add rows to the cell; whether they are new jobs, to which then ids are given, too."""
    columns = insert.this.expressions
    is_new = name == "job" and not any(column.name == "jobid" for column in columns)
    added: dict[str, exp.Expression] = {"cell": exp.cast(cell.copy(), "smallint")}
    if is_new:
        added["jobid"] = exp.cast(_parameter(int(cell.name) + 1), "bigint")
    columns.extend(map(exp.to_identifier, added))
    source = insert.expression
    for row in source.expressions if isinstance(source, exp.Values) else (source,):
        row.set("expressions", [*row.expressions, *(value.copy() for value in added.values())])
    conflict = insert.args.get("conflict")
    if conflict is not None and conflict.args.get("conflict_keys"):
        # The keys of distributed tables end with the cell.
        conflict.set("conflict_keys", [*conflict.args["conflict_keys"], exp.column("cell")])
    return is_new


def _parameter(number: int) -> exp.Parameter:
    return exp.Parameter(this=exp.Literal.number(number))


def _uses(tree: exp.Expr, names: Sequence[str], name: str) -> Iterator[exp.Parameter]:
    number = str(names.index(name) + 1)
    return (one for one in tree.find_all(exp.Parameter) if one.name == number)


def _tells(tree: exp.Expr, names: Sequence[str], name: str) -> bool:
    """Whether a parameter tells whose the rows are; several ids may also tell whose they are not."""
    return not name.endswith("s") or any(
        one.find_ancestor(exp.Unnest) or isinstance(one.find_ancestor(exp.EQ, exp.NEQ), exp.EQ)
        for one in _uses(tree, names, name)
    )


def _along(tree: exp.Expr, names: Sequence[str], key: str | None) -> frozenset[str]:
    if key is None:
        return frozenset()
    given = [one.find_ancestor(exp.Unnest) for one in _uses(tree, names, key)]
    arrays = (one for unnest in given if unnest is not None for one in unnest.find_all(exp.Parameter))
    return frozenset({key, *(names[int(one.name) - 1] for one in arrays)})
