"""Whether a release agrees with itself: `python -m scripts.release v0.1.0` writes its notes, or what is off.

The tag, the version of the service, that of its Python client and the changelog's newest part are the same.
"""

import re
import sys
import tomllib
from datetime import date
from pathlib import Path

from scheduler_api import __version__

ROOT = Path(__file__).parents[1]
#: The heading of a release in the changelog: its version and its day.
HEADING = re.compile(r"^## (?P<version>\d+\.\d+\.\d+) \((?P<day>\d{4}-\d{2}-\d{2})\)$", re.MULTILINE)


class NotReady(Exception):
    """What is released would not be what its tag says."""


def notes(tag: str, root: Path = ROOT) -> str:
    """The changelog's part about a release. Raises NotReady."""
    version = tag.removeprefix("v")
    client = tomllib.loads((root / "clients" / "python" / "pyproject.toml").read_text())["project"]["version"]
    for what, found in (("the service", __version__), ("the Python client", client)):
        if found != version:
            raise NotReady(f"The tag {tag} is not the version of {what}, which is {found}.")
    text = (root / "CHANGELOG.md").read_text()
    parts = list(HEADING.finditer(text))
    if not parts or parts[0]["version"] != version:
        raise NotReady(f"The newest release in CHANGELOG.md is not {version}.")
    try:
        date.fromisoformat(parts[0]["day"])
    except ValueError:
        raise NotReady(f"CHANGELOG.md: {parts[0]['day']} is no day.") from None
    end = parts[1].start() if parts[1:] else len(text)
    return text[parts[0].end() : end].strip() + "\n"


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m scripts.release TAG", file=sys.stderr)
        return 2
    try:
        print(notes(sys.argv[1]), end="")
    except NotReady as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
