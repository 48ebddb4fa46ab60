"""Encrypting what the database keeps but must not know."""

import hmac
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from scheduler_api.errors import SecretsUnavailable

#: Bytes of a secret that is kept decrypted.
MAX_CACHED = 8192


class Cipher:
    """Encrypts with the first key, and decrypts with any: so keys can be replaced without downtime."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.has_keys = bool(keys)
        self._keys = [key.encode() for key in keys]
        self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None
        # The same few secrets are asked for again and again.
        self._decrypted = lru_cache(maxsize=4096)(self._decrypt)

    def encrypt(self, text: str) -> bytes:
        """The text, unreadable without the key. Raises SecretsUnavailable where there is none."""
        if self._fernet is None:
            raise SecretsUnavailable("Secrets need a key: set SCHEDULER_SECRET_KEY, and restart the service.")
        return self._fernet.encrypt(text.encode())

    def decrypt(self, data: bytes) -> str:
        """The text again. Raises SecretsUnavailable where no key opens it."""
        # Certificates are long, and kept elsewhere once they are read.
        return self._decrypted(data) if len(data) <= MAX_CACHED else self._decrypt(data)

    def opens_to(self, data: bytes, text: str) -> bool:
        """Whether that is what is encrypted; False where no key opens it."""
        try:
            return hmac.compare_digest(self.decrypt(data).encode(), text.encode())
        except SecretsUnavailable:
            return False

    def digest(self, text: str) -> str:
        """A short name for a text, the same for the same; of no use to guess it without the key."""
        return self.digests(text)[0].hex()[:12]

    def digests(self, text: str) -> list[bytes]:
        """What tells a text that may hold secrets from others: by each key, the first one's first.

        Without any key, what everybody can compute.
        """
        return [hmac.digest(key, text.encode(), "sha256") for key in self._keys or (b"",)]

    def renewed(self, data: bytes) -> bytes:
        """The same, encrypted with the first key. Raises SecretsUnavailable where no key opens it."""
        return self.encrypt(self._decrypt(data))

    def _decrypt(self, data: bytes) -> str:
        try:
            if self._fernet is not None:
                return self._fernet.decrypt(data).decode()
        except InvalidToken:
            pass
        raise SecretsUnavailable("The secret was encrypted with a key that SCHEDULER_SECRET_KEY lacks.")


def is_key(text: str) -> bool:
    """Whether the text is a key."""
    try:
        Fernet(text)
    except ValueError:
        return False
    return True


def key_beside(data_dir: Path) -> str:
    """The key that belongs to an embedded server's data: kept beside it, made where there is none."""
    file = data_dir.with_name(f"{data_dir.name}.key")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(Fernet.generate_key() + b"\n")
    return file.read_text().strip()
