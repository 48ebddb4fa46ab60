"""Who does something: what is known of a client, and what it may do."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class ActorKind(StrEnum):
    """`local`: a client that may come in without a name. `user`: a person who signed in. `key`: a program
    with an API key. `schedule`: the service itself, as a job's rules say.
    """

    LOCAL = "local"
    USER = "user"
    KEY = "key"
    SCHEDULE = "schedule"


class Actor(NamedTuple):
    """Who did something."""

    kind: ActorKind
    client: str | None = None
    """The name of the user or of the key; else the program and the machine that asked, as far as known."""
    address: str | None = None
    """From where it came, of what came over the network; of IPv6 the network."""


#: The service itself.
SCHEDULE = Actor(ActorKind.SCHEDULE)


class Role(StrEnum):
    """What a user or a key may do; each role may do what those before it may."""

    METRICS = "metrics"
    """Read metrics."""
    VIEWER = "viewer"
    """Read."""
    OPERATOR = "operator"
    """Run, pause, resume, skip, retry, cancel, backfill."""
    EDITOR = "editor"
    """Create, edit and delete jobs, limits, calendars and secrets."""
    ADMIN = "admin"
    """Let others in, and confirm a restore."""

    def may(self, needed: "Role") -> bool:
        """Whether who has this role may do what needs that one."""
        return RANKS[self] >= RANKS[needed]


RANKS = {role: rank for rank, role in enumerate(Role)}


class Grant(NamedTuple):
    """A role for those whom somebody else signs in: an identity provider, or a proxy."""

    role: Role
    who: str
    """A group; `user:` and a name; or `*`, whoever signs in there. A group of such a name is none of them."""
    project: str | None = None
    """Where; None: everywhere."""


class Roles(NamedTuple):
    """What somebody may do, and where."""

    everywhere: Role | None = None
    """In all projects, and in what belongs to none; None: there is no such role."""
    projects: Mapping[str, Role] = MappingProxyType({})
    """In each of these."""

    @property
    def held(self) -> list[Role]:
        """All roles that they have somewhere."""
        return [*self.projects.values(), *([] if self.everywhere is None else [self.everywhere])]

    @property
    def is_any(self) -> bool:
        """Whether they may do anything."""
        return bool(self.held)

    def may_everywhere(self, needed: Role) -> bool:
        """Whether they may do what needs that role in all projects, and what belongs to none."""
        return self.everywhere is not None and self.everywhere.may(needed)

    def may(self, needed: Role, project: str | None = None) -> bool:
        """Whether they may do what needs that role in a project; without one, in any."""
        if self.may_everywhere(needed):
            return True
        if project is None:
            return any(role.may(needed) for role in self.projects.values())
        return project in self.projects and self.projects[project].may(needed)

    def where(self, needed: Role) -> tuple[str, ...] | None:
        """The projects in which they may do what needs that role; None: all."""
        if self.may_everywhere(needed):
            return None
        return tuple(name for name, role in self.projects.items() if role.may(needed))


def roles_of(name: str, groups: Collection[str], grants: Sequence[Grant]) -> Roles:
    """The highest roles that are granted to a user of these groups."""
    highest: dict[str | None, Role] = {}
    for role, who, project in grants:
        is_group = who != "*" and not who.startswith("user:")
        if (who in groups) if is_group else who in {"*", f"user:{name}"}:
            highest[project] = max(role, highest.get(project, role), key=RANKS.__getitem__)
    projects = {project: role for project, role in highest.items() if project is not None}
    return Roles(highest.get(None), projects)


class Principal(NamedTuple):
    """Who asks."""

    kind: ActorKind
    roles: Roles
    name: str | None = None
    """Of the user, or of the key."""
    id: int = 0
    """The userid or the keyid."""
    sessionid: int = 0
    """Of a user who signed in."""


#: Who comes in where no one has to say who they are.
ANYBODY = Principal(ActorKind.LOCAL, Roles(Role.ADMIN))
