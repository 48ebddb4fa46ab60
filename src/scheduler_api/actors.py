"""Who did something: what is known of whoever changed a job, a run or a limit."""

from enum import StrEnum
from typing import NamedTuple


class ActorKind(StrEnum):
    """`local`: a client that may come in. `schedule`: the service itself, as a job's rules say."""

    LOCAL = "local"
    SCHEDULE = "schedule"


class Actor(NamedTuple):
    """Who did something."""

    kind: ActorKind
    client: str | None = None
    """The program and the machine that asked, as far as they are known."""


#: The service itself.
SCHEDULE = Actor(ActorKind.SCHEDULE)
