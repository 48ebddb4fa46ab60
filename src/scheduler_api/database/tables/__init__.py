"""The tables, with every invariant that the database itself can keep: a file for each subject.

To import one of these files imports all of them, so that `metadata` knows every table.
"""

from scheduler_api.database.tables import access as access
from scheduler_api.database.tables import alerts, history, jobs, runs
from scheduler_api.database.tables import system as system
from scheduler_api.database.tables.base import metadata as metadata

#: The tables of what belongs to jobs, which can be distributed (see `distribution`).
CELLED = (
    jobs.job,
    runs.joblog,
    runs.logattempt,
    runs.logline,
    alerts.jobissue,
    history.jobopen,
    jobs.jobsecret,
    history.jobtally,
    history.jobthinned,
)
