"""What browsers get: pages, and answers to their forms."""

from scheduler_api.routers.pages import (
    actions,
    bulk,
    history,
    jobs,
    logs,
    preferences,
    runs,
    schedules,
    secrets,
    system,
)

PARTS = (runs, bulk, jobs, actions, history, logs, secrets, schedules, system, preferences)
