"""An offline CA that signs OCSP responses itself or by a responder of its own, as cryptography makes them."""

import dataclasses
import datetime
import time
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from _fastpath.certid import SHA1, IssuerID
from store.model import Issuer, public_key_bits, subject_name

DAY = 86_400
NOW = int(time.time())
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
KEYS: dict[str, Any] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
ENCRYPTING = {
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "encipher_only": False,
    "decipher_only": False,
}


def now() -> int:
    """By the machine's clock, from which cryptography takes producedAt."""
    return int(time.time())


def moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def digest_of(key: Key) -> hashes.HashAlgorithm | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclasses.dataclass
class OfflineCA:
    """A root with 20 years to live; `kind` is that of its key."""

    kind: str = "p256"
    subject: str = "Offline root"
    name: str = "root"
    days: int = 7300
    signs_responses: bool = True

    def __post_init__(self) -> None:
        self.key: Key = KEYS[self.kind]()
        usage = x509.KeyUsage(self.signs_responses, key_cert_sign=True, crl_sign=True, **ENCRYPTING)
        constraints = x509.BasicConstraints(True, None)
        self.certificate = self.issue(
            self.subject, self.key, [(constraints, True), (usage, True)], days=self.days
        )
        identity = IssuerID(subject_name(self.certificate), public_key_bits(self.certificate))
        self.issuer = Issuer(self.name, self.certificate, identity)

    def issue(
        self,
        subject: str,
        key: Key,
        extensions: list[tuple[x509.ExtensionType, bool]],
        *,
        serial: int | None = None,
        days: int = 3650,
    ) -> x509.Certificate:
        start = NOW - 30 * DAY
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = x509.CertificateBuilder(
            issuer_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.subject)]),
            subject_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number() if serial is None else serial,
            not_valid_before=moment(start),
            not_valid_after=moment(start + days * DAY),
        ).add_extension(authority, False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, digest_of(self.key))  # type: ignore[arg-type]  # None for Ed25519

    def intermediate(self, serial: int, *, days: int = 3650) -> x509.Certificate:
        """A CA certificate to ask about."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self.issue(
            f"Intermediate {serial:x}",
            key,
            [(x509.BasicConstraints(True, 0), True)],
            serial=serial,
            days=days,
        )

    def delegate(self, key: Key, *, for_ocsp: bool = True, days: int = 365) -> x509.Certificate:
        usage = ExtendedKeyUsageOID.OCSP_SIGNING if for_ocsp else ExtendedKeyUsageOID.SERVER_AUTH
        signing = x509.KeyUsage(True, key_cert_sign=False, crl_sign=False, **ENCRYPTING)
        return self.issue(
            "Responder",
            key,
            [(x509.ExtendedKeyUsage([usage]), False), (x509.OCSPNoCheck(), False), (signing, True)],
            days=days,
        )

    def response(
        self,
        serial: int,
        algorithm: int = SHA1,
        *,
        this_update: int = NOW - 3600,
        days: int = 90,
        revoked: int | None = None,
        reason: x509.ReasonFlags | None = x509.ReasonFlags.superseded,
        issuer: Issuer | None = None,
        signer: tuple[x509.Certificate, Key] | None = None,
        embeds: bool = True,
        by_name: bool = False,
        extension: x509.ExtensionType | None = None,
        ends: bool = True,
    ) -> bytes:
        """DER of one OCSPResponse; `revoked` is when. Signed by the CA unless by `signer`."""
        certificate, key = signer or (self.certificate, self.key)
        hashed = (issuer or self.issuer).id.lookup_key(algorithm)
        builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
            hashed[: len(hashed) // 2],
            hashed[len(hashed) // 2 :],
            serial,
            hashes.SHA1() if algorithm == SHA1 else hashes.SHA256(),
            ocsp.OCSPCertStatus.GOOD if revoked is None else ocsp.OCSPCertStatus.REVOKED,
            moment(this_update),
            moment(this_update + days * DAY - 1) if ends else None,
            None if revoked is None else moment(revoked),
            None if revoked is None else reason,
        )
        form = ocsp.OCSPResponderEncoding.NAME if by_name else ocsp.OCSPResponderEncoding.HASH
        builder = builder.responder_id(form, certificate)
        if embeds:
            builder = builder.certificates([certificate])
        if extension is not None:
            builder = builder.add_extension(extension, False)
        return builder.sign(key, digest_of(key)).public_bytes(Encoding.DER)
