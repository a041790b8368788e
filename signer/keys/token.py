"""Signing keys that stay in a PKCS #11 token."""

from collections.abc import Sequence
from contextlib import suppress

import pkcs11
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11.types import SignMixin

from signer.errors import SigningFault
from signer.keys.algorithms import ALLOWED, RsaAlgorithm, algorithm_of
from signer.keys.pkcs11 import find_key, library_at
from signer.keys.place import KeyPlace
from store.clock import Clock
from store.errors import ConfigError

__all__ = ["TokenKey"]

# DER of DigestInfo up to the digest (RFC 8017 section 9.2): hashing is not left to the token, as a CRL has megabytes.
SHA256_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
PROBE = b"ocspeed: which key is this?"
BUFFER = 1024  # octets, more than any signature has


class TokenKey:
    """The private key of `certificate`, with a session of its own. For one thread.

    Every signature is verified before it leaves (A-05). A session that is lost is opened anew at the next signature;
    while that fails, every call raises TokenUnavailable (G4).
    """

    def __init__(self, place: KeyPlace, certificate: x509.Certificate, clock: Clock) -> None:
        """Raises ConfigError, also if the token's key is another one, and TokenUnavailable."""
        algorithm = algorithm_of(certificate.public_key())
        if algorithm is None:
            raise ConfigError(
                f"{certificate.subject.rfc4514_string()}: not a key that may sign here",
                remedy=f"use {ALLOWED}",
            )
        self._place = place
        self._certificate = certificate
        self._algorithm = algorithm
        self._clock = clock
        self._library = library_at(place.module)
        self._session: pkcs11.Session | None = None
        self._key: SignMixin
        self._opened = 0  # the library's initialisation that the session is of
        self.signature_algorithm = algorithm.signature_algorithm
        self.signature_size = algorithm.signature_size
        with self._library.lock:
            self._open()

    @property
    def public_key(self) -> PublicKeyTypes:
        """The certificate's, which the token's key was shown to be of."""
        return self._algorithm.public_key

    def sign_der(self, data: bytes) -> bytes:
        """Raises TokenUnavailable, SigningFault, ConfigError."""
        with self._library.lock:
            raw = self._sign_anew(data)
        signature = self._encoded(raw)
        if not self.verify(data, signature):
            raise SigningFault(f"{self._place}: bad signature made")
        return signature

    def sign_each(self, data: Sequence[bytes]) -> list[bytes]:
        """Raises TokenUnavailable, SigningFault, ConfigError."""
        return [self.sign_der(octets) for octets in data]

    def verify(self, data: bytes, signature: bytes) -> bool:
        return self._algorithm.verify(data, signature)

    def close(self) -> None:
        with self._library.lock:
            self._close()

    def _sign_anew(self, data: bytes) -> bytes:
        """With a new session if the present one is void, or turns out to be: nobody was told when it was lost."""
        if self._session is not None and self._opened == self._library.initialised:
            try:
                return self._sign(data)
            except pkcs11.PKCS11Error:
                self._library.sound = False
        self._open()
        try:
            return self._sign(data)
        except pkcs11.PKCS11Error as error:
            raise self._library.hold(self._place, error, self._clock.monotonic()) from None

    def _open(self) -> None:
        """Raises ConfigError, TokenUnavailable."""
        now = self._clock.monotonic()
        self._library.check_held(self._place, now)
        if self._library.sound:
            with suppress(pkcs11.PKCS11Error, ConfigError):
                return self._open_session()
            self._library.sound = False
        try:
            self._open_session()
        except pkcs11.PKCS11Error as error:
            raise self._library.hold(self._place, error, now) from None
        except ConfigError:
            self._library.sound = False
            raise

    def _open_session(self) -> None:
        self._close()
        self._session = self._library.open(self._place)
        self._opened = self._library.initialised
        try:
            self._key = find_key(self._session, self._place)
            self._check_key()
        except (pkcs11.PKCS11Error, ConfigError):
            self._close()  # nothing may be signed with it
            raise

    def _check_key(self) -> None:
        """By a signature: a token need not have the public key."""
        kind = pkcs11.KeyType.RSA if isinstance(self._algorithm, RsaAlgorithm) else pkcs11.KeyType.EC
        if self._key.key_type != kind or not self.verify(PROBE, self._encoded(self._sign(PROBE))):
            raise ConfigError(
                f"{self._place}: not the key of the certificate {self._certificate.subject.rfc4514_string()}",
                remedy="correct `label`, `id` or `certificate`; CRLs take the CA's own key: `crl.key` or `crl.signer`",
            )

    def _sign(self, data: bytes) -> bytes:
        """As the token gives it."""
        digest = self._algorithm.digest(data)
        if isinstance(self._algorithm, RsaAlgorithm):
            mechanism, digest = pkcs11.Mechanism.RSA_PKCS, SHA256_DIGEST_INFO + digest
        else:
            mechanism = pkcs11.Mechanism.ECDSA
        return self._key.sign(digest, mechanism=mechanism, buffer_size=BUFFER)

    def _encoded(self, raw: bytes) -> bytes:
        if isinstance(self._algorithm, RsaAlgorithm):
            return raw
        half = self.signature_size // 2
        return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    def _close(self) -> None:
        if self._session is not None and self._opened == self._library.initialised:
            with suppress(pkcs11.PKCS11Error):
                self._session.close()
        self._session = None
