"""Certificates in PEM: what a target is shown, and what its own may be signed by."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

_WRONG = (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature)


def error_in_authorities(pem: str) -> str | None:
    """What is wrong with certificates of authorities, as a sentence; None: nothing."""
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except _WRONG:
        return "it must hold certificates in PEM, each from BEGIN to END CERTIFICATE."
    return None


def error_in_pair(pem: str) -> str | None:
    """What is wrong with a certificate and its private key, as a sentence; None: nothing."""
    data = pem.encode()
    try:
        own = x509.load_pem_x509_certificates(data)[0].public_key()
    except _WRONG:
        return "it must hold a certificate in PEM, with its private key."
    try:
        key = load_pem_private_key(data, None, unsafe_skip_rsa_key_validation=True).public_key()
    except _WRONG:
        return "it must hold the certificate's private key in PEM, too, without a passphrase."
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return (
        None
        if own.public_bytes(*form) == key.public_bytes(*form)
        else "its key is that of another certificate."
    )


def authorities_of(pem: str) -> str:
    """The certificates of authorities alone, without what else the text holds. Raises ValueError."""
    found = x509.load_pem_x509_certificates(pem.encode())
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


def locked_pair(pem: str, passphrase: bytes) -> bytes:
    """The certificates, and the private key behind a passphrase, as PEM. Raises ValueError."""
    data = pem.encode()
    key = load_pem_private_key(data, None, unsafe_skip_rsa_key_validation=True)
    form = Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)
    chain = b"".join(one.public_bytes(Encoding.PEM) for one in x509.load_pem_x509_certificates(data))
    return chain + key.private_bytes(*form)
