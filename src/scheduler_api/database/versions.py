"""Which schema this code is for, and how it learns that it may write no more."""

from pathlib import Path


def directory() -> Path:
    """The migrations: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parents[1]
    packaged = package / "alembic"
    return packaged if packaged.is_dir() else package.parents[1] / "alembic"


#: The number of the newest migration that this code knows.
VERSION = max(int(path.name[:4]) for path in (directory() / "versions").glob("[0-9]*.py"))
#: Every transaction that writes holds this advisory lock, shared; a migration holds it alone. So none of old
#: code is in progress when the new schema begins to hold. Any number that no other user of the same database
#: takes; spells "jobwrit".
WRITERS_KEY = 0x6A6F6277726974
