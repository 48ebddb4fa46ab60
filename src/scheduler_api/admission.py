"""The ways in: whether the settings name ways that lead in, and how the first user comes in."""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import structlog

from scheduler_api.actors import Actor, ActorKind, Role
from scheduler_api.contracts.access.keys import KeyDraft
from scheduler_api.database.engine import Database
from scheduler_api.errors import Misconfigured
from scheduler_api.services.access import keys, users
from scheduler_api.settings import Auth, Settings
from scheduler_api.tokens import is_key

log = structlog.get_logger(__name__)

BOOTSTRAP = KeyDraft(name="bootstrap", role=Role.ADMIN)


def operator(command: str) -> Actor:
    """The operator who runs a command on this machine, with access to the database."""
    return Actor(ActorKind.LOCAL, f"scheduler-api {command}, {socket.gethostname()}")


def require_coherent(settings: Settings) -> None:
    """Raise Misconfigured where the settings let in whom nobody meant to, or nobody where they say who."""
    if settings.auth is Auth.OFF and not settings.allowed_hosts:
        raise Misconfigured(
            "With SCHEDULER_AUTH=off pages of other sites could reach this service by a name of theirs: set "
            "SCHEDULER_ALLOWED_HOSTS to its names, or SCHEDULER_AUTH=required."
        )
    for given, name, needs in (
        (settings.proxy_user_header, "PROXY_USER_HEADER", ("auth", "roles", "trusted_proxies")),
        (settings.proxy_groups_header, "PROXY_GROUPS_HEADER", ("proxy_user_header",)),
        (settings.oidc_issuer, "OIDC_ISSUER", ("auth", "roles", "oidc_client_id", "public_url")),
    ):
        if given is not None:
            _require(settings, name, needs)


def _require(settings: Settings, name: str, needs: Sequence[str]) -> None:
    for other in needs:
        wanted = "=required" if other == "auth" else ""
        if settings.auth is not Auth.REQUIRED if wanted else not getattr(settings, other):
            raise Misconfigured(f"SCHEDULER_{name} needs SCHEDULER_{other.upper()}{wanted}.")


async def open_doors(database: Database, key_file: Path | None) -> None:
    """Let the key in that was given to the machine; or say how somebody comes in. Raises Misconfigured."""
    if key_file is not None:
        key = await asyncio.to_thread(_key_in, key_file)
        await database.transact(keys.ensure, operator("serve"), BOOTSTRAP, key)
    if not await database.read(users.is_any) and not await database.read(keys.listing):
        log.warning("no one can sign in yet: run `scheduler-api users add NAME --role admin`")


def _key_in(file: Path) -> str:
    try:
        key = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"SCHEDULER_BOOTSTRAP_KEY_FILE cannot be read: {error}") from None
    if not is_key(key):
        raise Misconfigured(
            "SCHEDULER_BOOTSTRAP_KEY_FILE holds no API key: `scheduler-api keys new` prints one."
        )
    return key
