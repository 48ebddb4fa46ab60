"""No name that a release has promised is gone."""

import pytest

from tests import promised


@pytest.mark.parametrize("kind", sorted(promised.recorded()))
def test_what_was_promised_is_there(kind: str) -> None:
    gone = {*promised.recorded()[kind]} - {*promised.names()[kind]}
    assert not gone, f"programs go by these {kind}: see docs/reference/stability.md"
