"""What goes in and what comes out, as Pydantic models."""

from scheduler_api.contracts.accounts import (
    Backfill,
    BackfillReport,
    Change,
    Explanation,
    Fate,
    Finding,
    JobCheck,
)
from scheduler_api.contracts.answers import (
    Health,
    JobWithLogs,
    Log,
    LogCause,
    LogStatus,
    Problem,
    ProblemFlaw,
    RunReport,
)
from scheduler_api.contracts.bulk import BulkAction, BulkFailure, BulkFilter, BulkOrder, BulkReport
from scheduler_api.contracts.flaws import flaws_of
from scheduler_api.contracts.jobs import Job, JobDraft, JobPatch, JobSort, State
from scheduler_api.contracts.orders import History, Missed, Pause, Resume
from scheduler_api.contracts.schedules import (
    EditPreview,
    Occurrence,
    ScheduleDraft,
    SchedulePreview,
    Upcoming,
)
from scheduler_api.contracts.values import LARGEST_ID, LARGEST_INTERVAL, Instant, days_of

__all__ = [
    "LARGEST_ID",
    "LARGEST_INTERVAL",
    "Backfill",
    "BackfillReport",
    "BulkAction",
    "BulkFailure",
    "BulkFilter",
    "BulkOrder",
    "BulkReport",
    "Change",
    "EditPreview",
    "Explanation",
    "Fate",
    "Finding",
    "Health",
    "History",
    "Instant",
    "Job",
    "JobCheck",
    "JobDraft",
    "JobPatch",
    "JobSort",
    "JobWithLogs",
    "Log",
    "LogCause",
    "LogStatus",
    "Missed",
    "Occurrence",
    "Pause",
    "Problem",
    "ProblemFlaw",
    "Resume",
    "RunReport",
    "ScheduleDraft",
    "SchedulePreview",
    "State",
    "Upcoming",
    "days_of",
    "flaws_of",
]
