"""The role that each address needs: one table, in which each route is looked up when it is made."""

import re
from typing import NamedTuple

from scheduler_api.actors import Role
from scheduler_api.contracts.jobs.bulk import BulkAction, BulkOrder

#: Open to all: it says nothing about jobs, or asks for a secret of its own.
OPEN = None

_NEEDED: dict[Role | None, str] = {
    OPEN: """
        GET /
        GET /healthz
        GET /readyz
        GET /problems
        GET /problems/{code}
        GET /docs
        GET /redoc
        GET /swagger-ui
        POST /runs/{logid}/{token}
        POST /monitors/{token}
        POST /monitors/{token}/start
        POST /monitors/{token}/fail
        POST /preferences
        GET /sign-in
        POST /sign-in
        GET /sign-in/oidc
        GET /sign-in/oidc/callback
        GET /sign-in/{token}
        POST /sign-in/{token}
        POST /sign-out
    """,
    Role.METRICS: """
        GET /metrics
        GET /metrics/jobs
    """,
    Role.VIEWER: """
        GET /account
        POST /account/password
        POST /account/sign-out
        GET /overview
        GET /performance
        GET /events
        GET /forecast
        GET /upcoming
        GET /jobs
        GET /jobs/{jobid}
        GET /jobs/{jobid}/changes
        GET /jobs/{jobid}/check
        GET /jobs/{jobid}/days
        GET /jobs/{jobid}/explain
        GET /jobs/{jobid}/logs
        GET /jobs/{jobid}/secrets
        GET /jobs/{jobid}/upcoming
        GET /logs
        GET /logs/{logid}
        GET /issues
        GET /issues/{issueid}
        GET /alerts
        GET /channels
        GET /channels/{channelid}
        GET /rules
        GET /rules/{ruleid}/preview
        POST /rules/preview
        GET /mutes
        GET /limits
        GET /calendars
        GET /projects
        GET /projects/{project}/secrets
        GET /calendars/{name}
        POST /schedules/preview
    """,
    Role.OPERATOR: """
        POST /jobs/run
        POST /jobs/bulk
        POST /jobs/{jobid}/run
        POST /jobs/{jobid}/pause
        POST /jobs/{jobid}/resume
        POST /jobs/{jobid}/skip
        POST /jobs/{jobid}/backfill
        POST /logs/retry
        POST /logs/{logid}/retry
        POST /logs/{logid}/cancel
        POST /issues/{issueid}/acknowledge
        POST /issues/{issueid}/close
        POST /alerts/{alertid}/retry
        POST /channels/{channelid}/test
        POST /mutes
        DELETE /mutes/{muteid}
        POST /mutes/{muteid}/delete
    """,
    Role.EDITOR: """
        POST /jobs
        PATCH /jobs/{jobid}
        DELETE /jobs/{jobid}
        POST /jobs/{jobid}/edit
        POST /jobs/{jobid}/delete
        POST /jobs/{jobid}/restore
        POST /jobs/{jobid}/undo
        POST /jobs/{jobid}/spread
        POST /jobs/{jobid}/test
        GET /jobs/{jobid}/monitor
        POST /jobs/{jobid}/monitor
        POST /jobs/{jobid}/secrets
        DELETE /jobs/{jobid}/secrets/{secretid}
        POST /jobs/{jobid}/secrets/{secretid}/delete
        POST /projects/{project}/secrets/edit
        PUT /projects/{project}/secrets/{secret}
        DELETE /projects/{project}/secrets/{secret}
        POST /projects/{project}/secrets/{secret}/delete
        PUT /limits/{scope}/{name}
        DELETE /limits/{scope}/{name}
        POST /calendars/edit
        PUT /calendars/{name}
        DELETE /calendars/{name}
        POST /calendars/{name}/delete
    """,
    Role.ADMIN: """
        POST /restore/confirm
        POST /channels
        PUT /channels/{channelid}
        DELETE /channels/{channelid}
        POST /channels/{channelid}/edit
        POST /channels/{channelid}/delete
        POST /rules
        DELETE /rules/{ruleid}
        POST /rules/{ruleid}/delete
        POST /projects
        PATCH /projects/{project}
        POST /projects/{project}/edit
        DELETE /projects/{project}
        POST /projects/{project}/delete
        GET /audit
        GET /keys
        POST /keys
        DELETE /keys/{keyid}
        POST /keys/{keyid}/delete
        GET /users
        POST /users
        PATCH /users/{userid}
        DELETE /users/{userid}
        POST /users/{userid}/edit
        POST /users/{userid}/delete
        POST /users/{userid}/link
    """,
}
#: The role that an address needs, by method and path; None: open to all.
NEEDED = {line.strip(): role for role, lines in _NEEDED.items() for line in lines.strip().splitlines()}
#: What belongs to no project: a role in one of them is none here. All else is about a job or a run, whose
#: project is looked at, or tells of what belongs to the projects of who asks.
_WHOLE = """
    GET /metrics
    GET /alerts
    POST /alerts/{alertid}/retry
    GET /channels
    GET /channels/{channelid}
    POST /channels/{channelid}/test
    GET /rules
    GET /rules/{ruleid}/preview
    POST /rules/preview
    GET /mutes
    POST /mutes
    DELETE /mutes/{muteid}
    POST /mutes/{muteid}/delete
    POST /jobs/run
    GET /limits
    PUT /limits/{scope}/{name}
    DELETE /limits/{scope}/{name}
    POST /calendars/edit
    PUT /calendars/{name}
    DELETE /calendars/{name}
    POST /calendars/{name}/delete
"""
WHOLE = {line.strip() for line in _WHOLE.strip().splitlines()} | {
    address for address, role in NEEDED.items() if role is Role.ADMIN
}
_CONVERTOR = re.compile(r":\w+}")


def role_for(order: BulkOrder) -> Role:
    """The role that an order to many jobs needs: that of the same order to one."""
    return Role.EDITOR if order.action is BulkAction.DELETE else Role.OPERATOR


class Need(NamedTuple):
    """What an address needs."""

    role: Role | None
    """None: nothing, it is open to all."""
    is_whole: bool
    """Whether the role has to be held everywhere."""


def needed(method: str, path: str) -> Need:
    """What a route needs. Raises LookupError for one that nobody has thought of."""
    key = f"{method} {_CONVERTOR.sub('}', path)}"
    if key not in NEEDED:
        raise LookupError(f"{key} has no permission: give it one in {__name__}.")
    return Need(NEEDED[key], key in WHOLE)
