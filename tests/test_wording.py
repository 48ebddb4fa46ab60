"""What people read is plain English: none of the words that we do not use."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler_api.app import create_app
from scheduler_api.settings import Auth, Settings

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "scheduler_api"
#: What we do not say, and what we say.
INSTEAD = {
    r"can not": "cannot",
    r"verdicts?": "result",
    r"promised": "scheduled",
    r"under way": "in progress",
    r"ledger": "history",
    r"blanks?": "spaces",
    r"mend(ed|s)?": "fix",
    r"somebody|nobody|whoever": "you, anyone, or a noun",
    r"the clocks|by itself|for good|so many|made up for": "the field's word",
    r"colou?red|colour|licence|behaviour": "American spelling",
    r"tried again|try again all|further attempts?": "retry",
}
BANNED = re.compile(rf"\b({'|'.join(INSTEAD)})\b", re.IGNORECASE)
#: SQL is no text for people; errors say in docstrings what answers have as titles.
TEXTS = [p for p in SOURCES.rglob("*.py") if "database" not in p.parts and "embedded" not in p.parts]


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module that have spaces, and are no docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    } | {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in docstrings or not isinstance(node, ast.Constant):
            continue
        if isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def shown(template: str) -> str:
    """The text of a template, without its tags and expressions."""
    return re.sub(r"<[^>]*>", " ", re.sub(r"\{[{%#].*?[}%#]\}", " ", template, flags=re.DOTALL))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(SOURCES)))
def test_no_sentence_has_a_word_that_we_do_not_use(path: Path) -> None:
    assert not [(line, found.group()) for line, text in sentences(path) if (found := BANNED.search(text))]


@pytest.mark.parametrize("path", sorted(SOURCES.rglob("*.html")), ids=lambda path: path.name)
def test_no_page_has_a_word_that_we_do_not_use(path: Path) -> None:
    assert not BANNED.findall(shown(path.read_text()))


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name
)
def test_no_page_of_the_docs_has_a_word_that_we_do_not_use(path: Path) -> None:
    assert not BANNED.findall(path.read_text())


@pytest.mark.parametrize("path", sorted(SOURCES.rglob("static/*.js")), ids=lambda path: path.name)
def test_no_script_says_a_word_that_we_do_not_use(path: Path) -> None:
    assert not [text for text in re.findall(r'"[^"\n]*"|`[^`]*`', path.read_text()) if BANNED.search(text)]


def described(document: object) -> Iterator[str]:
    """The summaries and descriptions of an OpenAPI document."""
    if isinstance(document, list):
        for part in document:
            yield from described(part)
    elif isinstance(document, dict):
        for name, part in document.items():
            if name in {"summary", "description"} and isinstance(part, str):
                yield part
            yield from described(part)


def test_no_description_of_the_api_has_a_word_that_we_do_not_use() -> None:
    texts = list(described(create_app(Settings(auth=Auth.OFF)).openapi()))
    assert len(texts) > 300
    assert not [text for text in texts if BANNED.search(text)]
