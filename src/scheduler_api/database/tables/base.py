"""What the tables have in common."""

import dataclasses
from typing import Any

from sqlalchemy import ColumnElement, DateTime, FromClause, MetaData, text
from sqlalchemy.dialects.postgresql import ENUM

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Instant = DateTime(timezone=True)
#: Before all days and instants.
NEVER = text("'-infinity'")


def columns(table: FromClause, row: type) -> list[ColumnElement[Any]]:
    """The columns that the fields of a row's type (a NamedTuple's, a dataclass') name."""
    names = getattr(row, "_fields", None) or [field.name for field in dataclasses.fields(row)]
    return [table.c[name] for name in names]


#: What the row of a run says of itself; jobs have the first and the last of these, too.
LogStatus = ENUM("pending", "running", "finished", "failed", "skipped", name="logstatus", metadata=metadata)
LogCause = ENUM("schedule", "manual", "backfill", "after", name="logcause", metadata=metadata)
RunKind = ENUM("plain", "http", "monitor", name="runkind", metadata=metadata)
