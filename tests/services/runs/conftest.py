from math import inf

import pytest

from scheduler_api.services.runs import judging


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is due is judged in one transaction, however slow the machine: tests count on it."""
    monkeypatch.setattr(judging, "PLANNING", inf)
