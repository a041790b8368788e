"""Signing keys in PEM files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from signer.keys.algorithms import ALLOWED, EcAlgorithm, Ed25519Algorithm, RsaAlgorithm, algorithm_of
from store.errors import ConfigError

__all__ = [
    "EcKey",
    "Ed25519Key",
    "RsaKey",
    "SigningKey",
    "check_profile",
    "fit_key",
    "load_key",
    "read_file",
    "read_secret",
]


class SigningKey(Protocol):
    """A private key and how it signs. One thread uses it at a time."""

    signature_algorithm: bytes  # DER AlgorithmIdentifier
    signature_size: int  # octets of a raw signature: r then s for ECDSA

    @property
    def public_key(self) -> PublicKeyTypes: ...

    def sign_der(self, data: bytes) -> bytes:
        """The signature as X.509 structures carry it."""

    def sign_each(self, data: Sequence[bytes]) -> list[bytes]:
        """The same of many, in their order."""

    def verify(self, data: bytes, signature: bytes) -> bool: ...


class EcKey(EcAlgorithm):
    """An EC key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        super().__init__(key.public_key())
        self._key = key

    def sign_der(self, data: bytes) -> bytes:
        return self._key.sign(self.digest(data), self._algorithm)

    def sign_each(self, data: Sequence[bytes]) -> list[bytes]:
        """All digests first: a signature drives everything else out of the processor's caches."""
        sign, algorithm = self._key.sign, self._algorithm
        return [sign(digest, algorithm) for digest in self.digests(data)]


class RsaKey(RsaAlgorithm):
    """An RSA key."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        super().__init__(key.public_key())
        self._key = key

    def sign_der(self, data: bytes) -> bytes:
        return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def sign_each(self, data: Sequence[bytes]) -> list[bytes]:
        return [self.sign_der(octets) for octets in data]


class Ed25519Key(Ed25519Algorithm):
    """An Ed25519 key."""

    def __init__(self, key: ed25519.Ed25519PrivateKey) -> None:
        super().__init__(key.public_key())
        self._key = key

    def sign_der(self, data: bytes) -> bytes:
        return self._key.sign(data)

    def sign_each(self, data: Sequence[bytes]) -> list[bytes]:
        return [self._key.sign(octets) for octets in data]


def check_profile(path: Path, key: SigningKey, profile: str) -> None:
    """Raises ConfigError for a key that only a private CA may sign with (BR 7.1.3.2)."""
    if isinstance(key, Ed25519Algorithm) and profile != "private":
        raise ConfigError(
            f"{path}: an Ed25519 key, which public TLS does not allow (BR 7.1.3.2)",
            remedy=f'use {ALLOWED}; for a CA that browsers need not trust write profile = "private"',
        )


def load_key(path: Path, passphrase_file: Path | None = None) -> SigningKey:
    """Read a PEM private key (PKCS #8 or traditional). Raises ConfigError naming the file and what is wrong."""
    data = read_file(path, "key")
    passphrase = read_secret(passphrase_file, "passphrase_file") if passphrase_file else None
    try:
        key = load_pem_private_key(data, passphrase)
    except TypeError:
        remedy = "name its passphrase_file" if passphrase is None else "remove passphrase_file"
        state = "is encrypted" if passphrase is None else "is not encrypted"
        raise ConfigError(f"{path}: the key {state}", remedy=remedy) from None
    except (ValueError, UnsupportedAlgorithm):
        remedy = "`openssl pkey -in FILE -noout` must read it"
        if passphrase is not None:
            remedy += f" with the passphrase in {passphrase_file}"
        raise ConfigError(f"{path}: not a PEM private key that can be read", remedy=remedy) from None
    return fit_key(path, key)


def fit_key(path: Path, key: PrivateKeyTypes) -> SigningKey:
    """The key of a file as one that signs. Raises ConfigError for a kind or size that may not."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and algorithm_of(key.public_key()):
        return EcKey(key)
    if isinstance(key, rsa.RSAPrivateKey) and algorithm_of(key.public_key()):
        return RsaKey(key)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Ed25519Key(key)
    raise ConfigError(f"{path}: not a key that may sign here", remedy=f"use {ALLOWED}")


def read_secret(path: Path, field: str) -> bytes:
    """What is in a file but for the line end after it."""
    return read_file(path, field).rstrip(b"\r\n")


def read_file(path: Path, field: str) -> bytes:
    """All of a file that `field` of the configuration names. Raises ConfigError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}", remedy=f"check `{field}` and the file's permissions"
        ) from None
