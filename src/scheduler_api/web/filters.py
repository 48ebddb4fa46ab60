"""Filters of lists, and the addresses that keep them."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

#: What narrows each list down, and what else the addresses of its pages keep.
OF_JOBS = ("search", "name", "state", "laststatus", "tag", "project", "pauseid")
KEPT_OF_JOBS = ("sort", "limit")
OF_RUNS = (
    *("status", "cause", "since", "until", "jobid", "tag", "project"),
    *("host", "minduration", "maxduration"),
)
#: And that of what everybody did.
OF_AUDIT = ("actor", "client", "address", "project", "object", "action", "jobid", "since", "until")
KEPT_OF_AUDIT = ("limit",)
OF_ISSUES = ("state", "kind", "jobid", "project")
OF_ALERTS = ("state", "channelid", "jobid")
KEPT_OF_ISSUES = ("limit",)
KEPT_OF_RUNS = ("limit",)


def given(query: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Those of a query's fields that have a value."""
    return {name: query[name] for name in names if query.get(name)}


def address(path: str, query: Mapping[str, str] | Sequence[tuple[str, str]]) -> str:
    """A path with a query, if there is one."""
    return f"{path}?{urlencode(query)}" if query else path
