"""What the docs say is true: examples, tables, tokens of the design system, files, pictures."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from scheduler_api import pools
from scheduler_api.contracts.jobs.schedules import ScheduleDraft
from scheduler_api.schedule import Misfire, decide, occurrences, schedule_of
from scheduler_api.settings import Settings
from scheduler_api.wording.schedules import local, note
from tests import reference
from tests.schedule.test_cron import CASES, CHANGES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reference" / "schedules.md").read_text()


def blocks(kind: str) -> list[tuple[str, str, list[str]]]:
    found = re.findall(rf"```{kind}\n(.*?)\n```", PAGE, re.DOTALL)
    return [(lines[0], lines[1], lines[2:]) for lines in (block.split("\n") for block in found)]


def test_the_connections_of_a_replica_are_counted() -> None:
    fields = Settings.model_fields
    count = pools.OWN + fields["pool_size"].default + fields["pool_overflow"].default
    server = (ROOT / "docs" / "how-to" / "postgres.md").read_text()
    assert f"Plan `max_connections` for {count} per replica" in server
    scaling = (ROOT / "docs" / "explanation" / "scaling.md").read_text()
    assert f"A replica keeps up to {count} connections" in scaling


@pytest.mark.parametrize(("written", "span", "expected"), blocks("example"))
def test_the_occurrences_of_an_example(written: str, span: str, expected: list[str]) -> None:
    definition = ScheduleDraft.model_validate(json.loads(written)).definition
    schedule = schedule_of(definition)
    since, before = (datetime.fromisoformat(text) for text in span.split(" to "))
    zone = definition.timezone
    shown = [
        "  ".join(filter(None, (local(instant, zone), note(schedule, zone, instant))))
        for instant in occurrences(schedule, since, before)
    ]
    assert shown == expected


@pytest.mark.parametrize(("written", "found_at", "expected"), blocks("misfire"))
def test_the_rows_of_a_misfire(written: str, found_at: str, expected: list[str]) -> None:
    draft = ScheduleDraft.model_validate(json.loads(written))
    schedule = schedule_of(draft.definition)
    first, now = (datetime.fromisoformat(text) for text in found_at.split(" found at "))
    shown = []
    occurrence: datetime | None = first
    while occurrence is not None and occurrence <= now:
        decision = decide(schedule, occurrence, now, Misfire(draft.misfire), timedelta(seconds=draft.grace))
        reason = f": {decision.reason}" if decision.reason else ""
        shown.append(f"{occurrence:%H:%M} {decision.status}{reason} {decision.missed}")
        occurrence = decision.next
    shown.append(f"{occurrence:%H:%M} pending")
    assert shown == expected


def test_there_are_examples_of_all_kinds() -> None:
    assert len(blocks("example")) >= 10
    assert len(blocks("misfire")) == len(Misfire)


def test_the_published_figures_are_those_of_the_table() -> None:
    zones = len({zone for zone, _ in CHANGES})
    assert f"{len(CHANGES)} days in {zones} zones" in PAGE
    assert f"Cases: {2 * len(CASES):,}.\nMismatches: 0." in PAGE


def test_every_token_of_the_pages_is_in_the_design_system() -> None:
    style = (ROOT / "src/scheduler_api/web/static/style.css").read_text()
    tokens = set(re.findall(r"^\s+(--[\w-]+):|; (--[\w-]+):", style, re.MULTILINE))
    told = (ROOT / "docs/explanation/design-system.md").read_text()
    missing = sorted(
        name
        for name in ("".join(pair) for pair in tokens)
        if f"`{name}`" not in told and not name.endswith("-ground")
    )
    assert not missing


def test_no_colour_stands_outside_of_the_tokens() -> None:
    style = (ROOT / "src/scheduler_api/web/static/style.css").read_text()
    rules = [line for line in style.splitlines() if not re.search(r"--[\w-]+:", line)]
    assert not [line for line in rules if re.search(r"#[0-9a-fA-F]{3,8}\b(?!.*\{)|rgb\(|hsl\(", line)]


def test_every_picture_in_the_docs_is_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
            assert (page.parent / picture).is_file(), f"{page.name}: {picture}"


def test_every_file_that_the_docs_name_is_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    folders = [
        folder
        for name in ("src", "tests", "scripts", "examples", "alembic")
        for folder in (ROOT / name).rglob("*.py")
    ]
    files = [f"/{path.relative_to(ROOT)}" for path in folders]
    for page in pages:
        for named in re.findall(r"[\w./-]+\.py\b", page.read_text()):
            wanted = f"/{named.lstrip('./')}"
            assert any(file.endswith(wanted) for file in files), f"{page.name}: {named}"


@pytest.mark.parametrize("page", reference.TABLES)
def test_the_tables_of_the_reference_are_as_the_code_has_them(page: str) -> None:
    text = (reference.FOLDER / page).read_text()
    assert text == reference.written(page, text), "python -m tests.reference brings it up to date"


def test_every_event_that_the_docs_name_is_logged() -> None:
    monitor = (ROOT / "docs/how-to/monitor.md").read_text()
    table = monitor.partition("| Event | Meaning |")[2].partition("\n## ")[0]
    named = re.findall(r"`([^`]+)`", "".join(row.split("|")[1] for row in table.splitlines() if row))
    named += re.findall(r"logged as `([^`]+)`", (ROOT / "docs/explanation/failures.md").read_text())
    assert len(named) > 5
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    # A loop that fails says so by its name.
    said = [f'"{event.removesuffix(" failed")}' for event in named]
    assert not [event for event in said if event not in source]
