"""What browsers get: pages, and answers to their forms."""

from scheduler_api.routers.http.routes import BrowserRouter, form_router
from scheduler_api.routers.pages import (
    access,
    actions,
    alerts,
    bulk,
    calendars,
    history,
    jobs,
    logs,
    monitors,
    preferences,
    project_secrets,
    projects,
    provider,
    runs,
    schedules,
    secrets,
    signing,
    system,
)

#: What stands before what programs get at the same addresses, and what has addresses of its own.
PARTS = (
    runs,
    bulk,
    jobs,
    calendars,
    actions,
    history,
    logs,
    secrets,
    monitors,
    schedules,
    system,
    access,
    alerts,
    project_secrets,
    projects,
    provider,
    signing,
)
OWN = (jobs, calendars, secrets, schedules, preferences, access, alerts, project_secrets, projects, signing)

router, own_router = BrowserRouter(), form_router()
for part in PARTS:
    router.include_router(part.router)
for form in OWN:
    own_router.include_router(form.own_router)
