"""Who does something: what is known of a client, and what it may do."""

from collections.abc import Collection, Sequence
from enum import StrEnum
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


#: The service itself.
SCHEDULE = Actor(ActorKind.SCHEDULE)


class Role(StrEnum):
    """What a user or a key may do; each role may do what those before it may."""

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
    """A group; `user:` and a name; or `*`, whoever signs in there."""


def role_of(name: str, groups: Collection[str], grants: Sequence[Grant]) -> Role | None:
    """The highest role that is granted to a user of these groups; None: they may not come in."""
    granted = [one.role for one in grants if one.who in {"*", f"user:{name}"} or one.who in groups]
    return max(granted, key=RANKS.__getitem__, default=None)


class Principal(NamedTuple):
    """Who asks."""

    kind: ActorKind
    role: Role
    name: str | None = None
    """Of the user, or of the key."""
    id: int = 0
    """The userid or the keyid."""
    sessionid: int = 0
    """Of a user who signed in."""

    def may(self, needed: Role) -> bool:
        """Whether they may do what needs that role."""
        return self.role.may(needed)


#: Who comes in where no one has to say who they are.
ANYBODY = Principal(ActorKind.LOCAL, Role.ADMIN)
