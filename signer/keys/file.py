"""Signing keys in PEM files: P-256, P-384, P-521 and RSA, each with the one algorithm it may sign with (A-01)."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from store.errors import ConfigError

__all__ = ["EcKey", "RsaKey", "SigningKey", "fit_key", "load_key", "read_file", "read_secret"]

MINIMUM_RSA_BITS = 2048

# Curve -> AlgorithmIdentifier, hash; the curve fixes the hash (BR 7.1.3.2.2).
CURVES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "secp256r1": ("300a06082a8648ce3d040302", hashes.SHA256()),
    "secp384r1": ("300a06082a8648ce3d040303", hashes.SHA384()),
    "secp521r1": ("300a06082a8648ce3d040304", hashes.SHA512()),
}
RSA_SHA256 = "300d06092a864886f70d01010b0500"


class SigningKey(Protocol):
    """A private key and how it signs. One thread uses it at a time."""

    signature_algorithm: bytes  # DER AlgorithmIdentifier
    signature_size: int  # octets of a raw signature: r then s for ECDSA

    @property
    def public_key(self) -> PublicKeyTypes: ...

    def sign_der(self, data: bytes) -> bytes:
        """The signature as X.509 structures carry it."""

    def verify(self, data: bytes, signature: bytes) -> bool: ...


class EcKey:
    """An EC key; the digest is made here, which is a little faster than letting the key hash."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        identifier, algorithm = CURVES[key.curve.name]
        self.signature_algorithm = bytes.fromhex(identifier)
        self.signature_size = 2 * ((key.curve.key_size + 7) // 8)
        self._key = key
        self._public_key = key.public_key()
        self._digest = getattr(hashlib, algorithm.name)
        self._algorithm = ec.ECDSA(Prehashed(algorithm))

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public_key

    def sign_der(self, data: bytes) -> bytes:
        return self._key.sign(self._digest(data).digest(), self._algorithm)

    def verify(self, data: bytes, signature: bytes) -> bool:
        return _verified(
            lambda: self._public_key.verify(signature, self._digest(data).digest(), self._algorithm)
        )


class RsaKey:
    """An RSA key, PKCS #1 v1.5 with SHA-256."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self.signature_algorithm = bytes.fromhex(RSA_SHA256)
        self.signature_size = (key.key_size + 7) // 8
        self._key = key
        self._public_key = key.public_key()

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        return self._public_key

    def sign_der(self, data: bytes) -> bytes:
        return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def verify(self, data: bytes, signature: bytes) -> bool:
        return _verified(
            lambda: self._public_key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        )


def _verified(check: Callable[[], None]) -> bool:
    try:
        check()
    except InvalidSignature:
        return False
    return True


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
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES:
        return EcKey(key)
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= MINIMUM_RSA_BITS:
        return RsaKey(key)
    raise ConfigError(
        f"{path}: not a key that may sign here",
        remedy="use EC P-256, P-384 or P-521, or RSA of 2048 bits or more",
    )


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
