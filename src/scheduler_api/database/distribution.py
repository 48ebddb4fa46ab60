"""Distributing the tables of jobs: their keys on any server, and with Citus the tables over several.

All rows of a job are in its cell, `jobid % cells`. To be distributed by that, tables get it as a column. The
service gives it from then on (see `cells`), as the engine computes none. Their keys have to include it, and
no other table may refer to them. Nothing goes back: dump the data, and load it into a new database.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, ForeignKeyConstraint, Index, Table, UniqueConstraint, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from scheduler_api.database.engine import Database
from scheduler_api.database.migrations import under_lock
from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables import CELLED, metadata
from scheduler_api.database.tables.jobs import job
from scheduler_api.database.tables.runs import joblog, joblog_live
from scheduler_api.database.upgrading import PRESENCE
from scheduler_api.database.versions import WRITERS_KEY
from scheduler_api.errors import NotDistributable

#: What says how, and where, the service lives: of use on the server that it asks alone.
OWN = {"installation", "replica", "schemaversion"}
#: The foreign keys to jobs from tables that are not distributed with them, or of one part alone.
LOOSE = (("alertrule", "fk_alertrule_jobid"), ("alertmute", "fk_alertmute_jobid"))
LIVE_KEY = "fk_joblog_live_jobid"
#: Indexes that claims read: each claim takes from one cell.
OF_CLAIMS = {"ix_joblog_live_passes", "ix_joblog_live_calls", "ix_joblog_live_hosts"}
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # untyped

FOUND = Statement("SELECT cells FROM schemaversion")


class Step(NamedTuple):
    """One part of what is done."""

    what: str
    sql: Sequence[str]


async def found(session: Session) -> int | None:
    """Over how many cells the tables are distributed; None: they are not."""
    cells: int | None = await session.value(FOUND)
    return cells


def steps(cells: int, *, engine: bool) -> list[Step]:
    """All that is done to distribute the tables over so many cells, in order, in one transaction."""
    tables = ", ".join(table.name for table in CELLED)
    keyed = [step for table in CELLED for step in _keys_of(table)]
    steps = [
        Step(
            f"No key refers to jobs from other tables: {tables} refer to each other only.",
            [f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name in _references()],
        ),
        Step(
            f"They get a column, cell: jobid modulo {cells}. The service gives it from then on.",
            [sql for table in CELLED for sql in _column_of(table, cells)],
        ),
        Step("Ids may be given, as that of a job tells its cell.", list(_identities())),
        Step("Keys end with the cell, and claims get indexes that begin with it.", [*keyed, *_live_keys()]),
        Step("What refers to a job refers to its cell, too.", list(_foreign_keys())),
        Step(
            f"The database says that it has {cells} cells: all statements name them from then on.",
            [f"UPDATE schemaversion SET cells = {cells}"],
        ),
    ]
    if not engine:
        steps.append(
            Step("Rows that are inserted by hand get their cell from the database.", list(_by_hand(cells)))
        )
    else:
        celled = {table.name for table in CELLED}
        others = sorted({table.name for table in metadata.sorted_tables} - celled - OWN)
        steps += [
            Step(
                "All other tables but those about the service itself are copied to every server.",
                [f"SELECT create_reference_table('{name}')" for name in others],
            ),
            Step("The tables of jobs are distributed by the cell.", list(_distributed())),
        ]
    return steps


async def distribute(database: Database, steps: Sequence[Step], said: Callable[[Step], None]) -> None:
    """Do it, while nobody writes; each step is said before it is done.

    Raises NotDistributable where it was done already, or while replicas are there.
    """

    def run(connection: Connection) -> None:
        with connection.begin():
            connection.execute(text(f"SELECT pg_advisory_xact_lock({WRITERS_KEY})"))
            require_possible(connection)
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            for step in steps:
                said(step)
                for sql in step.sql:
                    connection.exec_driver_sql(sql)

    await under_lock(database, run)


def require_possible(connection: Connection) -> None:
    """Raise NotDistributable where it was done already, or while replicas are there."""
    if connection.execute(text("SELECT cells IS NOT NULL FROM schemaversion")).scalar_one():
        raise NotDistributable("The tables are distributed already.")
    seen = text("SELECT name FROM replica WHERE seenat > now() - CAST(:presence AS interval) ORDER BY name")
    if names := connection.execute(seen, {"presence": PRESENCE}).scalars().all():
        raise NotDistributable(
            f"Replicas are there, or were minutes ago: {', '.join(names)}. Stop them first; "
            f"those that were killed are forgotten after {PRESENCE.total_seconds() / 60:.0f} minutes."
        )


def _references() -> Iterator[tuple[str, str]]:
    yield from LOOSE
    yield joblog_live.name, LIVE_KEY
    for table in CELLED:
        for key in _keys_to_jobs(table):
            yield table.name, str(key.name)


def _keys_to_jobs(table: Table) -> list[ForeignKeyConstraint]:
    return [key for key in table.foreign_key_constraints if key.referred_table is job]


def _foreign_keys() -> Iterator[str]:
    for table in CELLED:
        for key in _keys_to_jobs(table):
            yield _foreign_key(table.name, str(key.name), f" ON DELETE {key.ondelete}")
    yield _foreign_key(joblog_live.name, LIVE_KEY)


def _foreign_key(table: str, name: str, then: str = "") -> str:
    return (
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY (cell, jobid)"
        f" REFERENCES job (cell, jobid){then}"
    )


def _column_of(table: Table, cells: int) -> Iterator[str]:
    # By the database for the rows that there are, as it writes the table anew only once.
    yield (
        f"ALTER TABLE {table.name} ADD COLUMN cell smallint NOT NULL"
        f" GENERATED ALWAYS AS (jobid % {cells}) STORED"
    )
    yield f"ALTER TABLE {table.name} ALTER COLUMN cell DROP EXPRESSION"


def _identities() -> Iterator[str]:
    for table in CELLED:
        for column in table.columns:
            if column.identity is not None:
                yield f"ALTER TABLE {table.name} ALTER COLUMN {column.name} SET GENERATED BY DEFAULT"


def _keys_of(table: Table) -> Iterator[str]:
    # Each server looks after the rows that it has, so that the engine takes no key without the cell. At its
    # end it says the same, as a job is in one cell, and those who read by jobid or logid name none.
    uniques = [one for one in table.constraints if isinstance(one, UniqueConstraint)]
    for kind, key in (("PRIMARY KEY", table.primary_key), *(("UNIQUE", one) for one in uniques)):
        yield (
            f"ALTER TABLE {table.name} DROP CONSTRAINT {key.name},"
            f" ADD CONSTRAINT {key.name} {kind} ({', '.join([*key.columns.keys(), 'cell'])})"
        )
    for index in sorted(table.indexes, key=_name):
        if index.unique:
            yield f"DROP INDEX {index.name}"
            yield _made(index).replace(")", ", cell)", 1)


def _live_keys() -> Iterator[str]:
    for index in sorted(joblog_live.indexes, key=_name):
        if index.unique:
            yield f"DROP INDEX {index.name}"
            yield _made(index).replace(")", ", cell)", 1)
        elif index.name in OF_CLAIMS:
            # Beside that which those read who look for what is due next in all cells.
            yield _made(index).replace(f"{index.name} ", f"{index.name}_cell ", 1).replace("(", "(cell, ", 1)


def _name(index: Index) -> str:
    return str(index.name)


def _made(index: Index) -> str:
    return str(CreateIndex(index).compile(dialect=_DIALECT))


def _by_hand(cells: int) -> Iterator[str]:
    yield (
        "CREATE FUNCTION givecell() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN NEW.cell := NEW.jobid % {cells}; RETURN NEW; END $$"
    )
    for table in CELLED:
        yield (
            f"CREATE TRIGGER givecell BEFORE INSERT ON {table.name} FOR EACH ROW"
            " WHEN (NEW.cell IS NULL) EXECUTE FUNCTION givecell()"
        )


def _distributed() -> Iterator[str]:
    yield f"SELECT create_distributed_table('{job.name}', 'cell')"
    for table in sorted({*CELLED} - {job}, key=lambda table: (table is not joblog, table.name)):
        yield f"SELECT create_distributed_table('{table.name}', 'cell', colocate_with => '{job.name}')"
