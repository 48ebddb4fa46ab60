"""Who comes in: the keys and sessions that let in, remembered for a second.

So a program that asks a thousand times a second costs the database one look; and what is revoked lets nobody
in a second later, at any replica, without a notification.
"""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from time import monotonic

from scheduler_api import tokens
from scheduler_api.actors import ActorKind, Principal, Role, Roles
from scheduler_api.database.access import keys, sessions, users
from scheduler_api.database.engine import Database
from scheduler_api.database.failures import DATABASE_ERRORS
from scheduler_api.database.statements import Session
from scheduler_api.errors import SchedulerError

#: Seconds for which it is remembered whom something lets in.
KNOWN_SECONDS = 1.0
#: And for which a key may read metrics while the database does not answer.
LAST_KNOWN_SECONDS = 600.0
#: The most that is remembered: a client with ever new keys makes nothing grow.
MAX_KNOWN = 10_000


class Doorkeeper:
    """Knows whom keys and sessions let in."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[bytes, tuple[float, Principal | None]] = {}

    async def by_key(self, key: str) -> Principal | None:
        """Whom an API key lets in; None: it is none. Raises the errors of Database.read."""
        if not tokens.is_key(key):
            return None
        digest = tokens.digest_of(key)
        known = self._recall(digest)
        if known is not None:
            return known[1]
        found = await self._database.read(keys.by_digest, digest)
        if found is None:
            return self._remember(digest, None)
        if found.stale:
            await self._note(keys.use, found.keyid)
        role = Role(found.role)
        roles = Roles(role) if found.project is None else Roles(None, {found.project: role})
        return self._remember(digest, Principal(ActorKind.KEY, roles, found.name, found.keyid))

    async def by_session(self, token: str, *, is_used: bool = True) -> Principal | None:
        """Whom a session lets in; None: it is over. Raises the errors of Database.read.

        `is_used`: whether somebody uses it, so that it does not end yet.
        """
        digest = tokens.digest_of(token)
        known = self._recall(digest)
        if known is not None:
            return known[1]
        found = await self._database.read(sessions.by_digest, digest)
        if found is None:
            return self._remember(digest, None)
        if found.stale and is_used:
            await self._note(_see, found.sessionid, found.userid)
        projects = {name: Role(role) for name, role in found.projects.items()}
        roles = Roles(None if found.role is None else Role(found.role), projects)
        principal = Principal(ActorKind.USER, roles, found.name, found.userid, found.sessionid)
        return self._remember(digest, principal)

    def last_known(self, key: str) -> Principal | None:
        """Whom an API key let in some minutes ago at most: for those who ask how the service does."""
        until, principal = self._known.get(tokens.digest_of(key), (0.0, None))
        return principal if monotonic() < until + LAST_KNOWN_SECONDS else None

    def forget(self, token: str) -> None:
        """Look again: what it lets in has changed."""
        self._known.pop(tokens.digest_of(token), None)

    def _recall(self, digest: bytes) -> tuple[float, Principal | None] | None:
        known = self._known.get(digest)
        return known if known is not None and monotonic() < known[0] else None

    def _remember(self, digest: bytes, principal: Principal | None) -> Principal | None:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[digest] = (monotonic() + KNOWN_SECONDS, principal)
        return principal

    async def _note(self, note: Callable[..., Awaitable[None]], *ids: int) -> None:
        """Write down that it was used; that it cannot be written keeps nobody out."""
        with contextlib.suppress(SchedulerError, *DATABASE_ERRORS):
            await self._database.transact(note, *ids)


async def _see(session: Session, now: datetime, sessionid: int, userid: int) -> None:
    await sessions.touch(session, now, sessionid)
    await users.note_seen(session, now, userid)
