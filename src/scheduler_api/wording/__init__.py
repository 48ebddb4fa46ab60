"""Every text that code puts together, for people. Templates know its names as `words`."""

from scheduler_api.contracts.jobs.credentials import MASK
from scheduler_api.contracts.values import DEFAULT_PROJECT
from scheduler_api.wording.access import QUOTAS, ROLES, quotas
from scheduler_api.wording.alerts import CHANNEL_KINDS, issue_title
from scheduler_api.wording.alerts import KINDS as ISSUE_KINDS
from scheduler_api.wording.alerts import TOLD_OF as ISSUE_TOLD_OF
from scheduler_api.wording.instants import local, milliseconds, short, taken, typed
from scheduler_api.wording.jobs import ACTIONS, action, by_whom, differences, rhythm, schedule, whole_schedule
from scheduler_api.wording.runs import (
    CAUSES,
    FAILURES,
    OUTCOMES,
    SKIPS,
    cancelling,
    note,
    remark,
    retriable,
)
from scheduler_api.wording.schedules import brief, city, duration, relative
from scheduler_api.wording.targets import (
    attempt,
    autopause,
    body,
    header,
    is_web,
    outlook,
    overlap,
    retry_plan,
    secrets_of,
    success,
)

__all__ = [
    "ACTIONS",
    "CAUSES",
    "CHANNEL_KINDS",
    "DEFAULT_PROJECT",
    "FAILURES",
    "ISSUE_KINDS",
    "ISSUE_TOLD_OF",
    "MASK",
    "OUTCOMES",
    "QUOTAS",
    "ROLES",
    "SKIPS",
    "action",
    "attempt",
    "autopause",
    "body",
    "brief",
    "by_whom",
    "cancelling",
    "city",
    "differences",
    "duration",
    "header",
    "is_web",
    "issue_title",
    "local",
    "milliseconds",
    "note",
    "outlook",
    "overlap",
    "quotas",
    "relative",
    "remark",
    "retriable",
    "retry_plan",
    "rhythm",
    "schedule",
    "secrets_of",
    "short",
    "success",
    "taken",
    "typed",
    "whole_schedule",
]
