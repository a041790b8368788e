"""What a key may sign with and how that is verified: one algorithm for each kind of public key (A-01)."""

import hashlib
from collections.abc import Callable, Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from _fastpath.digest import sha256_each

__all__ = ["ALLOWED", "Ed25519Algorithm", "EcAlgorithm", "RsaAlgorithm", "algorithm_of"]

MINIMUM_RSA_BITS = 2048
ALLOWED = "EC P-256, P-384 or P-521, or RSA of 2048 bits or more"

# Curve -> AlgorithmIdentifier, hash; the curve fixes the hash (BR 7.1.3.2.2).
CURVES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "secp256r1": ("300a06082a8648ce3d040302", hashes.SHA256()),
    "secp384r1": ("300a06082a8648ce3d040303", hashes.SHA384()),
    "secp521r1": ("300a06082a8648ce3d040304", hashes.SHA512()),
}
ED25519 = "300506032b6570"  # RFC 8410: parameters absent; for private CAs alone
RSA_SHA256 = "300d06092a864886f70d01010b0500"


class EcAlgorithm:
    """ECDSA. The digest is made here, which is a little faster than letting the key hash."""

    def __init__(self, public_key: ec.EllipticCurvePublicKey) -> None:
        identifier, algorithm = CURVES[public_key.curve.name]
        self.signature_algorithm = bytes.fromhex(identifier)  # DER
        self.signature_size = 2 * ((public_key.curve.key_size + 7) // 8)  # octets of r and s
        self._public_key = public_key
        self._digest = getattr(hashlib, algorithm.name)
        self._algorithm = ec.ECDSA(Prehashed(algorithm))

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public_key

    def digest(self, data: bytes) -> bytes:
        digest: bytes = self._digest(data).digest()
        return digest

    def digests(self, data: Iterable[bytes]) -> list[bytes]:
        """Of many, in their order."""
        if self._digest is hashlib.sha256:
            return sha256_each(data)
        return [self.digest(octets) for octets in data]

    def verify(self, data: bytes, signature: bytes) -> bool:
        return _verified(lambda: self._public_key.verify(signature, self.digest(data), self._algorithm))


class Ed25519Algorithm:
    """Pure Ed25519 (RFC 8032): nothing is hashed beforehand."""

    def __init__(self, public_key: ed25519.Ed25519PublicKey) -> None:
        self.signature_algorithm = bytes.fromhex(ED25519)
        self.signature_size = 64
        self._public_key = public_key

    @property
    def public_key(self) -> ed25519.Ed25519PublicKey:
        return self._public_key

    def verify(self, data: bytes, signature: bytes) -> bool:
        return _verified(lambda: self._public_key.verify(signature, data))


class RsaAlgorithm:
    """PKCS #1 v1.5 with SHA-256."""

    def __init__(self, public_key: rsa.RSAPublicKey) -> None:
        self.signature_algorithm = bytes.fromhex(RSA_SHA256)
        self.signature_size = (public_key.key_size + 7) // 8
        self._public_key = public_key

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        return self._public_key

    def digest(self, data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

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


def algorithm_of(public_key: PublicKeyTypes) -> EcAlgorithm | RsaAlgorithm | None:
    """None: a kind or size of key that may not sign here."""
    if isinstance(public_key, ec.EllipticCurvePublicKey) and public_key.curve.name in CURVES:
        return EcAlgorithm(public_key)
    if isinstance(public_key, rsa.RSAPublicKey) and public_key.key_size >= MINIMUM_RSA_BITS:
        return RsaAlgorithm(public_key)
    return None
