"""File descriptors: how many this process may have, and how they are shared out."""

import contextlib
import errno
import os
import resource
from typing import NamedTuple

from scheduler_api.errors import Misconfigured

#: Those of the process itself: its streams, event loop, listening socket, certificates, a file being served.
OWN = 40
#: The most connections of clients, and how many of them may follow the changes.
CONNECTIONS_LIMIT, STREAMS_LIMIT = 1000, 200
#: The most connections that wait to be accepted.
BACKLOG_LIMIT = 100
#: What has to be left for all of this, and how many connections of clients at least.
LEAST_SHARED, FEWEST_CONNECTIONS = 40, 32
#: A call's own connection, and one that is kept for the next call.
EACH_CALL = 2
#: What is as good as no limit; and what every system that sets none allows.
PLENTY, MODEST = 65_536, 10_240
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})


class Shares(NamedTuple):
    """How many there may be at once."""

    calls: int
    connections: int
    """Of clients."""
    streams: int
    """Of those connections: the ones that follow the changes."""
    backlog: int
    """Connections that wait to be accepted. All of them may be at once, before their number is looked at."""


def limit() -> int:
    """How many descriptors this process may have, once the soft limit is raised as far as that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (PLENTY if hard == resource.RLIM_INFINITY else hard, MODEST):
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            break
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return PLENTY if soft == resource.RLIM_INFINITY else soft


def shares(descriptors: int, kept: int, calls: int) -> Shares:
    """Share out what is left after `kept` ones for other purposes; at most `calls` calls at once.

    Raises Misconfigured where that is too little.
    """
    free = descriptors - OWN - kept
    if free < LEAST_SHARED:
        raise Misconfigured(
            f"This process may open {descriptors} files, and needs at least {OWN + kept + LEAST_SHARED}: "
            "raise the limit (ulimit -n), or lower SCHEDULER_POOL_SIZE."
        )
    backlog = min(BACKLOG_LIMIT, free // 8)
    free -= backlog
    made = min(calls, free // (2 * EACH_CALL), (free - FEWEST_CONNECTIONS) // EACH_CALL)
    connections = min(CONNECTIONS_LIMIT, free - EACH_CALL * made)
    return Shares(made, connections, min(STREAMS_LIMIT, connections // 2), backlog)


def are_exhausted() -> bool:
    """Whether there is not one left."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in EXHAUSTED
    return False
