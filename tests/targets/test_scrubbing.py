"""What a target echoes of a request is not kept."""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_api.targets.headers import is_secret
from scheduler_api.targets.scrubbing import SCRUBBED, SHORTEST, SPELLINGS, scrubbed, secrets_in

BASIC = base64.b64encode(b"user:pass:word").decode()


@pytest.mark.parametrize(
    ("headers", "echo", "kept"),
    [
        ({"Authorization": "Bearer abc.def-ghi"}, "got Bearer abc.def-ghi!", f"got {SCRUBBED}!"),
        ({"Authorization": "Bearer abc.def-ghi"}, "got abc.def-ghi!", f"got {SCRUBBED}!"),
        ({"authorization": f"Basic {BASIC}"}, f"{BASIC} pass:word", f"{SCRUBBED} {SCRUBBED}"),
        ({"X-Api-Key": "k3y-of-yours"}, '{"key": "k3y-of-yours"}', f'{{"key": "{SCRUBBED}"}}'),
        ({"Cookie": "session=abcdef"}, "session=abcdef", SCRUBBED),
        (
            {"scheduler-run": "https://jobs.example.com/runs/5/0123456789abcdef"},
            "to https://jobs.example.com/runs/5/0123456789abcdef or 0123456789abcdef",
            f"to {SCRUBBED} or {SCRUBBED}",
        ),
        # No secrets: what says nothing, and words that may stand there by chance.
        ({"Content-Type": "application/json"}, "application/json", "application/json"),
        ({"X-Token": "on"}, "on and on", "on and on"),
        ({"Authorization": "Basic !"}, "Basic !", SCRUBBED),
        ({"Authorization": "Basic /w=="}, "x", "x"),
    ],
)
def test_what_let_it_in_is_taken_out(headers: dict[str, str], echo: str, kept: str) -> None:
    assert scrubbed(echo, secrets_in(headers)) == kept


#: But for what stands around them below, and what no encoding has.
SECRETS = st.text(st.characters(exclude_characters="|", exclude_categories=["Cs"]), min_size=SHORTEST)


@given(secret=SECRETS, spell=st.sampled_from(SPELLINGS), is_cut=st.booleans())
def test_neither_stays_one_that_is_spelled_otherwise(
    secret: str, spell: Callable[[str], str], is_cut: bool
) -> None:
    text = scrubbed(f"got |{spell(secret)}|", secrets_in({}, [secret]), is_cut=is_cut)
    assert text == f"got |{SCRUBBED}|"


def test_neither_stays_the_beginning_of_one_that_was_cut() -> None:
    secrets = secrets_in({"Authorization": "Bearer abcdefghijkl"})
    assert scrubbed("said: abcdefgh", secrets, is_cut=True) == "said: "
    assert scrubbed("said: abcdefgh", secrets) == "said: abcdefgh"
    assert scrubbed("said: abcd", secrets, is_cut=True) == "said: abcd"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("Authorization", True),
        ("X-API-Key", True),
        ("apikey", True),
        ("Accept", False),
        ("X-Request-Id", False),
    ],
)
def test_names_tell_which_headers_let_somebody_in(name: str, secret: bool) -> None:
    assert is_secret(name) is secret
