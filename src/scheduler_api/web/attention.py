"""Issues as the overview lists them: those of one cause together."""

from collections.abc import Sequence
from typing import NamedTuple

from scheduler_api.contracts.system.overview import Issue, IssueKind

#: Kinds that somebody should know of; all others are wrong now.
MILD = {IssueKind.MISSED, IssueKind.REPAIRED, IssueKind.EXPORT, IssueKind.TRANSACTION, IssueKind.RESTORED}


class Concern(NamedTuple):
    """An issue, or several jobs that fail for the same reason."""

    issue: Issue
    """The one that has been open for longest."""
    others: list[Issue]

    @property
    def what(self) -> str:
        """What is wrong."""
        return f"{len(self.others) + 1} jobs are failing" if self.others else self.issue.what

    @property
    def is_mild(self) -> bool:
        """Whether nothing is wrong any more."""
        return self.issue.kind in MILD


def rows(issues: Sequence[Issue]) -> list[Concern]:
    """Each issue where it stands; failures of one cause where the first of them does."""
    found: dict[object, Concern] = {}
    for number, issue in enumerate(issues):
        cause = (issue.kind, issue.why) if issue.kind is IssueKind.FAILING and issue.why else number
        known = found.get(cause)
        found[cause] = Concern(issue, []) if known is None else _with(known, issue)
    return list(found.values())


def _with(row: Concern, issue: Issue) -> Concern:
    first, last = row.issue, issue
    if first.since is not None and last.since is not None and last.since < first.since:
        first, last = last, first
    return Concern(first, [*row.others, last])
