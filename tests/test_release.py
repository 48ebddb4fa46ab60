"""What makes a release: its parts agree, and the workflow calls what there is."""

import re
import runpy
import shutil
from pathlib import Path

import pytest

from scheduler_api import __version__

ROOT = Path(__file__).parents[1]
PROGRAM = runpy.run_path(str(ROOT / "scripts" / "release.py"))
notes, NotReady = PROGRAM["notes"], PROGRAM["NotReady"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that have to agree."""
    for name in ("CHANGELOG.md", "clients/python/pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_notes_of_a_release_are_its_part_of_the_changelog(copy: Path) -> None:
    heading = f"## {__version__} ("
    replace(copy / "CHANGELOG.md", heading, f"## Unreleased\n\nMore.\n\n{heading}")
    with (copy / "CHANGELOG.md").open("a") as changelog:
        changelog.write("\n## 0.0.1 (2020-01-01)\n\nOld.\n")
    found = notes(f"v{__version__}", copy)
    assert "### Added" in found
    assert "More." not in found
    assert "Old." not in found
    assert "## " not in re.sub("^### ", "", found, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("clients/python/pyproject.toml", f'"{__version__}"', '"9.9.9"', "the Python client, which is 9.9.9"),
        ("CHANGELOG.md", f"## {__version__}", "## 9.9.9", f"is not {re.escape(__version__)}"),
        ("CHANGELOG.md", "-28)", "-32)", "2026-11-32 is no day"),
        ("CHANGELOG.md", f"## {__version__} (", "## Unreleased (", f"is not {re.escape(__version__)}"),
    ],
)
def test_what_does_not_agree_is_no_release(copy: Path, file: str, old: str, new: str, said: str) -> None:
    replace(copy / file, old, new)
    with pytest.raises(NotReady, match=said):
        notes(f"v{__version__}", copy)


def test_a_tag_of_another_version_is_no_release() -> None:
    with pytest.raises(NotReady, match="the version of the service"):
        notes("v9.9.9")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_what_there_is(path: Path) -> None:
    text = path.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets
    jobs = set(re.findall(r"^  ([a-z-]+):$", text.partition("\njobs:\n")[2], re.MULTILINE))
    needed = re.findall(r"^    needs: \[?([a-z, -]+)", text, re.MULTILINE)
    assert {name for names in needed for name in names.split(", ")} <= jobs
    for called in re.findall(r"uses: \./(\S+)", text):
        assert "workflow_call:" in (ROOT / called).read_text()
    for module in re.findall(r"python -m scripts\.(\w+)", text):
        assert (ROOT / "scripts" / f"{module}.py").is_file()
