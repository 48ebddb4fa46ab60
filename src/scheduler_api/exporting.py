"""Writing days of history to files, before they go: one file for each table and day."""

import asyncio
import contextlib
import gzip
import importlib
import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Date, DateTime, Double, Integer, SmallInteger

from scheduler_api.database import installation
from scheduler_api.database.engine import Database
from scheduler_api.database.runs import exports
from scheduler_api.database.statements import Session
from scheduler_api.errors import Misconfigured

#: Parquet's kinds of columns, by SQLAlchemy's; all others are texts.
KINDS = (
    (SmallInteger, "int16"), (BigInteger, "int64"), (Integer, "int32"), (Double, "float64"), (Date, "date32"),
)  # fmt: skip
#: The file that says which database a folder has days of.
MARK = ".scheduler-api-export"
#: Bytes of CSV that become rows of Parquet at once.
BLOCK = 4 * 2**20


class Format(StrEnum):
    """How files are written."""

    CSV = "csv"
    PARQUET = "parquet"

    @property
    def suffix(self) -> str:
        """How their names end."""
        return "csv.gz" if self is Format.CSV else self.value


class Day(NamedTuple):
    """A day that was exported, and how many rows of each table."""

    day: date
    rows: dict[str, int]


class Extent(NamedTuple):
    """From which day on, and up to which, an export goes."""

    first: date
    end: date
    """The day after the last one."""


async def reach(database: Database, before: date | None) -> Extent:
    """What an export of the days before that one, or of all that are closed, comprises."""
    found = await database.read(exports.exported)
    return Extent(found.firstday, min(before or date.max, found.closedto))


async def export(
    database: Database, folder: Path, days: Extent, kind: Format, *, release: bool = False
) -> AsyncGenerator[Day]:
    """Write those of the days that are not in the folder yet; with `release`, all of them may go then.

    A file that has its name is whole, and safe on disk. Raises Misconfigured for a folder that cannot be
    written to, or has days of another database, and for Parquet where pyarrow is not installed; DatabaseBusy
    while another export runs.
    """
    if days.end <= days.first:
        return
    finish = _finisher(kind)
    await asyncio.to_thread(_require, folder, " ".join(await database.read(installation.place)))
    async with database.alone(exports.EXPORT_KEY) as driver:
        for number in range((days.end - days.first).days):
            day = days.first + number * timedelta(days=1)
            paths = {table: folder / f"{table}-{day}.{kind.suffix}" for table in exports.TABLES}
            if all(path.exists() for path in paths.values()):
                continue
            with _writing_to(folder), contextlib.ExitStack() as stack:
                raw = {table: stack.enter_context(_temporary(path)) for table, path in paths.items()}
                with contextlib.ExitStack() as writing:
                    files = {
                        table: writing.enter_context(gzip.open(path, "wb", compresslevel=6))
                        for table, path in raw.items()
                    }
                    rows = await exports.copy_day(driver, day, files)
                if rows is None:
                    continue
                for table, path in paths.items():
                    await asyncio.to_thread(finish, table, raw[table], path)
            yield Day(day, rows)
    with _writing_to(folder):
        await asyncio.to_thread(_make_safe, folder)
    if release:
        await database.transact(_release, days.end)


async def _release(session: Session, _: datetime, end: date) -> None:
    await exports.export_to(session, end)


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A file beside that one, for what is not whole yet; it is gone at the end."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _require(folder: Path, place: str) -> None:
    """A folder that can be written to, and has no days of another database. Raises Misconfigured."""
    mark = folder / MARK
    with _writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _temporary(mark):
            pass
        if not mark.exists():
            mark.write_text(f"{place}\n")
        found = mark.read_text().strip()
    if found != place:
        raise Misconfigured(
            f"{folder} has days of another database, or from before a restore. Name another folder; or, if "
            f"they are the same days, remove {mark}."
        )


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Raises Misconfigured if a file cannot be written; the database's own errors stay what they are."""
    try:
        yield
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:
        raise Misconfigured(f"{folder} cannot be written to: {error.strerror}.") from None


def _finisher(kind: Format) -> Callable[[str, Path, Path], None]:
    """What makes a file of raw CSV the one that is wanted. Raises Misconfigured."""
    if kind is Format.CSV:
        return lambda _, raw, path: _move(raw, path)
    try:
        # It is an extra, and takes longer to load than all else.
        arrow = {name: importlib.import_module(f"pyarrow{name}") for name in ("", ".csv", ".parquet")}
    except ImportError:
        raise Misconfigured("Parquet needs pyarrow: pip install 'scheduler-api[parquet]'.") from None
    return lambda table, raw, path: _to_parquet(arrow, table, raw, path)


def _to_parquet(arrow: dict[str, Any], table: str, raw: Path, path: Path) -> None:
    kinds = {column.name: _kind(arrow[""], column.type) for column in exports.TABLES[table].columns}
    reading = arrow[".csv"].ReadOptions(block_size=BLOCK)
    # An empty text is quoted, and one that is missing is not; lines may break within quotes.
    parsing = arrow[".csv"].ParseOptions(newlines_in_values=True)
    converting = arrow[".csv"].ConvertOptions(
        column_types=kinds, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    with (
        _temporary(path) as written,
        gzip.open(raw, "rb") as file,
        arrow[".csv"].open_csv(file, reading, parsing, converting) as batches,
        arrow[".parquet"].ParquetWriter(written, batches.schema, compression="zstd") as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
        writer.close()
        _move(written, path)


def _kind(arrow: Any, column: Any) -> Any:
    if isinstance(column, DateTime):
        return arrow.timestamp("us", "UTC")
    name = next((name for kind, name in KINDS if isinstance(column, kind)), "string")
    return getattr(arrow, name)()


def _move(written: Path, path: Path) -> None:
    """Give a file its name once all of it is on disk."""
    _make_safe(written)
    written.rename(path)


def _make_safe(path: Path) -> None:
    """Let what was written to a file, or the names in a folder, survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
