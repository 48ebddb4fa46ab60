"""What a migration may do while replicas of older code work: see docs/explanation/schema-changes.md."""

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import op
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script

from scheduler_api.database import migrations
from scheduler_api.database.upgrading import build_index, outdate

#: The schema of the first release: no older code uses it.
BASELINE = "0050"
#: Each connection that migrates has its time-outs; numbers of 32 bits are meant.
NOT_ASKED = ("require-lock-timeout", "require-statement-timeout", "prefer-bigint-over-int")
#: What only a migration may do that takes away what older code uses.
OF_CONTRACTING = ("ban-drop-column", "ban-drop-table", "adding-not-nullable-field", "renaming-column")


def sql_of(upgrade: Callable[[], None]) -> str:
    """What a migration sends to the server."""
    written = io.StringIO()
    options = {"as_sql": True, "output_buffer": written, "transactional_ddl": True}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with Operations.context(context), context.begin_transaction():
        upgrade()
    return written.getvalue()


def complaints(upgrade: Callable[[], None], folder: Path, *, contracting: bool) -> str:
    """What is wrong with it; empty: nothing."""
    path, sql = folder / "upgrade.sql", sql_of(upgrade)
    path.write_text(sql)
    if ("schemaversion SET compatiblefrom" in sql) is not contracting:
        return "Only a migration that is CONTRACTING outdates code, and each that is does."
    # Within transactions of several statements; alone, a statement is none.
    for transaction in re.findall(r"BEGIN;(.*?)COMMIT;", sql, re.DOTALL):
        if re.search(r"^(UPDATE (?!schemaversion)|DELETE)", transaction, re.MULTILINE):
            return "Rows are changed in batches, each a transaction of its own."
    program = Path(sys.executable).with_name("squawk")
    allowed = (*NOT_ASKED, *(OF_CONTRACTING if contracting else ()))
    command = [str(program), "--pg-version", "15", *(f"--exclude={rule}" for rule in allowed), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


SCRIPTS = [one for one in migrations._scripts().walk_revisions() if one.revision > BASELINE]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.revision)
def test_a_migration_keeps_nobody_from_work(script: Script, tmp_path: Path) -> None:
    upgrade = script.module.upgrade
    assert not complaints(upgrade, tmp_path, contracting=migrations._is_contracting(script))


def with_an_index() -> None:
    op.create_index("job_owner", "job", ["owner"])


def with_a_column_that_must_not_be_null() -> None:
    op.alter_column("job", "owner", nullable=False)


def with_another_type() -> None:
    op.alter_column("job", "owner", type_=sa.Integer())


def without_a_column() -> None:
    op.drop_column("job", "owner")


def with_a_check() -> None:
    op.create_check_constraint("owner", "job", "owner <> ''")


def with_all_rows_changed_at_once() -> None:
    op.execute("UPDATE job SET owner = ''")


def outdating_by_the_way() -> None:
    outdate(22)


@pytest.mark.parametrize("upgrade", [
    with_an_index, with_a_column_that_must_not_be_null, with_another_type, without_a_column, with_a_check,
    with_all_rows_changed_at_once, outdating_by_the_way,
])  # fmt: skip
def test_what_would_is_found(upgrade: Callable[[], None], tmp_path: Path) -> None:
    assert complaints(upgrade, tmp_path, contracting=False)


def with_more() -> None:
    op.add_column("job", sa.Column("more", sa.Text(), nullable=False, server_default=""))
    op.execute("ALTER TABLE job ADD CONSTRAINT more CHECK (more <> 'x') NOT VALID")


def with_an_index_beside() -> None:
    build_index("job_more", "ON job (more)")


def with_less() -> None:
    outdate(22)
    op.drop_column("job", "owner")


@pytest.mark.parametrize(
    ("upgrade", "contracting"), [(with_more, False), (with_an_index_beside, False), (with_less, True)]
)
def test_what_is_meant_is_let_through(upgrade: Callable[[], None], contracting: bool, tmp_path: Path) -> None:
    assert complaints(upgrade, tmp_path, contracting=contracting) == ""


def test_a_contracting_migration_outdates_code(tmp_path: Path) -> None:
    assert complaints(without_a_column, tmp_path, contracting=True)
