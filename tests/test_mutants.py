"""The bugs that are planted on purpose still have a place in the code."""

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
MUTANTS = runpy.run_path(str(ROOT / "scripts/mutants.py"))["MUTANTS"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_bug_can_be_planted(mutant: Any) -> None:
    text = (ROOT / mutant.file).read_text()
    assert {old: text.count(old) for old in mutant.replaced} == dict.fromkeys(mutant.replaced, 1)
    file, _, test = mutant.caught_by.partition("::")
    assert f"def {test}(" in (ROOT / file).read_text()
