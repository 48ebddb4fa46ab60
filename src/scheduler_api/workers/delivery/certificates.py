"""Encryption with certificates of a target's own: what it is shown, and whose word for it counts."""

import asyncio
import ssl
import tempfile
from collections import OrderedDict
from hashlib import sha256
from secrets import token_hex
from typing import NamedTuple

from scheduler_api.descriptors import EXHAUSTED
from scheduler_api.errors import OutOfDescriptors, SecretsUnavailable
from scheduler_api.targets import certificates
from scheduler_api.workers.delivery.sockets import Encryption

#: Pairs that are kept ready: to read one takes milliseconds, and connections are shared by those alike.
MAX_READY = 256


class Pems(NamedTuple):
    """What a target says of encryption, as PEM; None: as usual."""

    own: str | None
    """A certificate and its private key, shown to the target."""
    authorities: str | None
    """Who may have signed the target's certificate."""


class Certificates:
    """Makes encryption of certificates, and keeps it."""

    def __init__(self) -> None:
        self._ready: OrderedDict[bytes, Encryption] = OrderedDict()
        self._turn = asyncio.Lock()

    async def encryption(self, pems: Pems) -> Encryption | None:
        """What a connection is encrypted with; None: with what is usual. Raises SecretsUnavailable."""
        if pems == (None, None):
            return None
        key = sha256("\0".join(part or "" for part in pems).encode()).digest()
        if key not in self._ready:
            async with self._turn:
                if key not in self._ready:
                    self._ready[key] = await asyncio.to_thread(_made, pems)
        # Nothing is awaited from here on.
        self._ready.move_to_end(key)
        found = self._ready[key]
        while len(self._ready) > MAX_READY:
            self._ready.popitem(last=False)
        return found


def _made(pems: Pems) -> Encryption:
    own, authorities = pems
    try:
        made = Encryption(None if authorities is None else certificates.authorities_of(authorities))
        if own is not None:
            _show(made, own)
    except (ValueError, TypeError, ssl.SSLError) as error:
        raise SecretsUnavailable(
            "The target's certificates cannot be read: set these secrets anew."
        ) from error
    return made


def _show(encryption: Encryption, own: str) -> None:
    # The library reads certificates from files only: what is in this one is of no use to anybody else.
    passphrase = token_hex(32)
    try:
        _load(encryption, certificates.locked_pair(own, passphrase.encode()), passphrase)
    except ssl.SSLError:
        raise
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise OutOfDescriptors from error
        raise


def _load(encryption: Encryption, pair: bytes, passphrase: str) -> None:
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(pair)
        file.flush()
        encryption.load_cert_chain(file.name, password=passphrase)
