"""What roles may do, in a few words."""

from scheduler_api.actors import Role

ROLES = {
    Role.VIEWER: "read",
    Role.OPERATOR: "run, pause, retry",
    Role.EDITOR: "create and change jobs",
    Role.ADMIN: "let others in",
}
