"""Issuers of three kinds and what they know of their certificates, as keys, index.txt and ocsp.toml in a directory."""

import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.conformance.assertions import Expected

__all__ = ["EXPIRED", "KINDS", "REASONS", "Issuer", "PrivateKey", "make_issuer"]

HOUR = 3600
DAY = 86_400
EXPIRED = 10  # for so many certificates another one that has ended
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
# Name: number of CRL shards, whether a delegated responder signs.
KINDS = {"p256": (4, True), "p384": (3, False), "rsa": (5, True)}
# As `openssl ca` writes them after the revocation date, and the reason that may be published (BR 7.2.2).
REASONS = {
    "": 0,
    ",unspecified": 0,
    ",keyCompromise": 1,
    ",CACompromise": 0,
    ",affiliationChanged": 3,
    ",superseded": 4,
    ",cessationOfOperation": 5,
    ",certificateHold": 0,
    ",removeFromCRL": 0,
    ",privilegeWithdrawn": 9,
    ",AACompromise": 0,
    ",keyTime,20260101000000Z": 1,
    ",CAkeyTime,20260101000000Z": 0,
}
# How long certificates have to live; the first four are clamped.
LEFT = (4 * HOUR, 10 * HOUR, 17 * HOUR, 3 * DAY, 40 * DAY, 89 * DAY, 397 * DAY)


@dataclass
class Issuer:
    """One CA and what it knows; `expired` are certificates that OCSP says nothing about any more."""

    name: str
    directory: Path
    certificate: x509.Certificate
    responder: x509.Certificate
    shards: int
    host: str
    living: list[Expected] = field(default_factory=list)
    expired: list[Expected] = field(default_factory=list)

    @property
    def revoked(self) -> list[Expected]:
        return [one for one in self.living + self.expired if one.revocation_time is not None]

    @property
    def urls(self) -> list[str]:
        return [f"http://{self.host}/crl/{self.name}/0-{index}.crl" for index in range(self.shards)]

    @property
    def table(self) -> str:
        """Its part of ocsp.toml."""
        where = self.directory.name
        delegated = self.responder != self.certificate
        signer = (
            f'key = "{where}/responder.key", certificate = "{where}/responder.pem"'
            if delegated
            else f'key = "{where}/ca.key"'
        )
        return f"""
[[issuer]]
name = "{self.name}"
certificate = "{where}/ca.pem"
signer = {{ {signer} }}
crl = {{ key = "{where}/ca.key", shards = {self.shards}, url = "http://{self.host}/crl/{{issuer}}/{{series}}-{{index}}.crl" }}
"""

    def populate(self, first: int, count: int, now: int) -> None:
        """Issue `count` certificates, numbered from `first` so that issuers share the kinds, and write index.txt."""
        chooser = random.Random(self.name)
        lines, serials = [], set[bytes]()
        for number in range(first, first + count + count // EXPIRED):
            expired = number >= first + count
            serial = _serial(chooser, number, serials)
            left = -LEFT[number % len(LEFT)] if expired else LEFT[number % len(LEFT)]
            revocation, one = _fate(number, serial, now + left, now)
            (self.expired if expired else self.living).append(one)
            status = "R" if revocation else ("E" if expired else "V")
            lines.append(
                f"{status}\t{_utc_time(one.not_after)}\t{revocation}\t{serial.hex().upper()}\tunknown\t/CN=host\n"
            )
        (self.directory / "index.txt").write_text("".join(lines))


def _serial(chooser: random.Random, number: int, used: set[bytes]) -> bytes:
    """Of 1 to 20 octets; half of those below 20 octets with the high bit set."""
    size = 1 + number % 20
    while True:
        high = number % 2 == 1 and size < 20
        first = chooser.randrange(0x80, 0x100) if high else chooser.randrange(1, 0x80)
        serial = bytes([first]) + chooser.randbytes(size - 1)
        if serial not in used:
            used.add(serial)
            return serial


def _fate(number: int, serial: bytes, not_after: int, now: int) -> tuple[str, Expected]:
    """Every third one is revoked: the field of index.txt, and what is to be said."""
    if number % 3:
        return "", Expected(int.from_bytes(serial), not_after)
    reason = list(REASONS)[number // 3 % len(REASONS)]
    when = min(now, not_after) - 60 - number * 1_000
    return _utc_time(when) + reason, Expected(int.from_bytes(serial), not_after, when, REASONS[reason])


def _utc_time(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%y%m%d%H%M%SZ")


def make_issuer(kind: str, directory: Path, host: str) -> Issuer:
    """Keys and certificates of one of KINDS, as files in `directory`."""
    shards, delegated = KINDS[kind]
    directory.mkdir()
    key = _make_key(kind)
    certificate = _certificate(f"{kind} CA", key, None)
    _write(directory, "ca", key, certificate)
    responder = certificate
    if delegated:
        responder_key = _make_key(kind)
        responder = _certificate(f"{kind} OCSP responder", responder_key, (certificate, key))
        _write(directory, "responder", responder_key, responder)
    return Issuer(kind, directory, certificate, responder, shards, host)


def _make_key(kind: str) -> PrivateKey:
    if kind == "rsa":
        return rsa.generate_private_key(65_537, 2_048)
    return ec.generate_private_key(ec.SECP256R1() if kind == "p256" else ec.SECP384R1())


def _certificate(
    common_name: str, key: PrivateKey, issuer: tuple[x509.Certificate, PrivateKey] | None
) -> x509.Certificate:
    """A CA's own certificate, or that of a delegated responder with the profile of BR 7.1.2.8."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    start = datetime.fromtimestamp(int(time.time()) - HOUR, UTC)
    public = key.public_key()
    builder = x509.CertificateBuilder(
        issuer[0].subject if issuer else name, name, public, x509.random_serial_number()
    )
    builder = builder.not_valid_before(start).not_valid_after(start + timedelta(days=60 if issuer else 3650))
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    builder = builder.add_extension(_key_usage(ca=issuer is None), critical=True)
    if issuer is None:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return builder.sign(key, _hash(key))
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key())
    builder = builder.add_extension(identifier, critical=False)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False
    ).add_extension(x509.OCSPNoCheck(), critical=False)
    return builder.sign(issuer[1], _hash(issuer[1]))


def _hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384:
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return hashes.SHA384()
    return hashes.SHA256()


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    """digitalSignature, and for a CA keyCertSign and cRLSign."""
    return x509.KeyUsage(True, False, False, False, False, ca, ca, False, False)


def _write(directory: Path, name: str, key: PrivateKey, certificate: x509.Certificate) -> None:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / f"{name}.key").write_bytes(private)
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
