"""What roles may do, and how much projects may use, in a few words."""

from scheduler_api.actors import Role
from scheduler_api.contracts.access.projects import Project

ROLES = {
    Role.METRICS: "read metrics",
    Role.VIEWER: "read",
    Role.OPERATOR: "run, pause, retry",
    Role.EDITOR: "create and change jobs",
    Role.ADMIN: "let others in",
}
#: The quotas of a project, as forms call them.
QUOTAS = {
    "maxjobs": "Jobs",
    "maxbody": "Bytes of a body",
    "maxrequests": "Requests a second",
    "maxstreams": "Event streams",
}


def quotas(project: Project) -> str:
    """How much a project may use: `500 jobs · 50 requests a second`."""
    given = [
        (project.maxjobs, "jobs"),
        (project.maxbody, "bytes of a body"),
        (project.maxrequests, "requests a second"),
        (project.maxstreams, "event streams"),
    ]
    return " · ".join(f"{number:,} {what}" for number, what in given if number is not None) or "none"
