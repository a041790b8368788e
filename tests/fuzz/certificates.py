"""Certificates and keys in files: of subscribers, of CAs and responders, in DER, PEM and PKCS #12."""

from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import AuthorityInformationAccessOID

from _fastpath.certid import serial_from_int
from signer.intake.certificate import CertificateRows
from signer.intake.pem import pem_file
from signer.intake.rows import ImportRow, RowError
from signer.intake.scope import Scope, Shards
from signer.keys.file import load_key
from signer.keys.pkcs12 import load_key_and_certificate
from signer.keys.responder_certificate import check_ca_as_signer, check_responder_certificate
from signer.ledger.values import CA_SERIES, FULL_SERIES, SeriesRow
from store.errors import ConfigError
from store.model import UNREADABLE, load_certificate, load_issuer
from store.trust import Untrusted, responder_of
from tests.fuzz.target import is_one_value, signed, written
from tests.store.offline import NOW, OfflineCA

__all__ = [
    "certificate_files",
    "check_certificate",
    "check_key",
    "check_pem",
    "check_pkcs12",
    "check_responder",
    "key_files",
    "pem_files",
    "pkcs12_files",
    "responder_files",
]

URL = "http://c.example/{issuer}/{index}.crl"
CRLS = [
    SeriesRow(1, 0, URL, 4, 0),
    SeriesRow(1, FULL_SERIES, "http://c.example/full.crl", 1, 0),
    SeriesRow(1, CA_SERIES, "http://c.example/ca.crl", 1, 0),
]
PASSWORD = b"secret"
MOST_SERIAL = 1 << 160


@cache
def authority() -> OfflineCA:
    return OfflineCA(name="r1")


@cache
def scope() -> Scope:
    return Scope(authority().issuer, Shards("r1", CRLS), NOW)


@cache
def rows() -> CertificateRows:
    return CertificateRows(scope())


def _key() -> ec.EllipticCurvePrivateKey:
    key = authority().key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _points(*urls: str) -> x509.CRLDistributionPoints:
    names = [x509.UniformResourceIdentifier(url) for url in urls]
    return x509.CRLDistributionPoints([x509.DistributionPoint(names, None, None, None)])


def _certificates() -> Iterator[x509.Certificate]:
    ca, key = authority(), ec.generate_private_key(ec.SECP256R1())
    access = x509.AccessDescription(
        AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://o.example")
    )
    extensions: list[list[tuple[x509.ExtensionType, bool]]] = [
        [],
        [(_points("http://c.example/r1/3.crl"), False)],
        [(_points("ldap://x/", "http://c.example/r1/0.crl"), False), (x509.PrecertPoison(), True)],
        [(_points("http://c.example/full.crl"), False)],
        [(_points("http://elsewhere.example/"), False)],
        [(x509.AuthorityInformationAccess([access]), False)],
        [(x509.SubjectAlternativeName([x509.DNSName("a.example")]), False)],
        [(_points("http://c.example/ca.crl"), False), (x509.BasicConstraints(True, 0), True)],
    ]
    for serial, some in enumerate(extensions, 1):
        yield ca.issue("subscriber", key, some, serial=serial << 100, days=90)
    yield ca.delegate(key)
    yield ca.delegate(key, for_ocsp=False)
    yield ca.certificate


def certificate_files() -> list[bytes]:
    """Each as it is, and what is signed of it, to be signed anew after damage."""
    found = list(_certificates())
    return [
        *(b"\0" + one.public_bytes(Encoding.DER) for one in found),
        *(b"\1" + one.tbs_certificate_bytes for one in found),
    ]


def _whole(data: bytes) -> bytes | None:
    """By the first octet a certificate, or what the CA is to sign."""
    if not data or not data[0] & 1:
        return data[1:]
    return signed(_key(), data[1:]) if is_one_value(data[1:]) else None


def check_certificate(data: bytes) -> None:
    """Its row is what cryptography says of it; who is to have a row has one."""
    content = _whole(data)
    if content is None:
        return
    row = _row(content)
    try:
        theirs = x509.load_der_x509_certificate(content)
        theirs.verify_directly_issued_by(authority().certificate)
        extensions = {extension.oid: extension.value for extension in theirs.extensions}
    except (*UNREADABLE, InvalidSignature):
        assert row is None, "a row of what cryptography does not take"
        return
    if row is not None:
        assert row.serial == serial_from_int(theirs.serial_number)
        assert row.not_after == int(theirs.not_valid_after_utc.timestamp())
        assert row.expired is (row.not_after < NOW) and row.revocation_time is None
        return
    plain = not {x509.CRLDistributionPoints.oid, x509.BasicConstraints.oid} & extensions.keys()
    assert not plain or not 0 <= theirs.serial_number < MOST_SERIAL, "an ordinary one has no row"


def _row(content: bytes) -> ImportRow | None:
    try:
        return rows().parse(content)
    except RowError:
        return None


def responder_files() -> list[bytes]:
    pem = [b"\0" + one.public_bytes(Encoding.PEM) for one in _certificates()]
    return certificate_files() + pem


def check_responder(data: bytes) -> None:
    """Who may sign by the signer's rules may by the responder's, which are fewer (G3)."""
    content = _whole(data)
    if content is None:
        return
    path, issuer = written(content), authority().issuer
    try:
        load_issuer("other", path)
    except ConfigError:
        pass
    try:
        certificate = load_certificate(path)
    except ConfigError:
        return
    for fit in (_is_fit_responder(path, certificate), _is_fit_ca(path, certificate)):
        try:
            responder_of(issuer, certificate.public_bytes(Encoding.DER))
        except Untrusted:
            assert not fit, "a responder that the CA did not make one"


def _is_fit_responder(path: Path, certificate: x509.Certificate) -> bool:
    try:
        check_responder_certificate(path, certificate, authority().issuer, NOW)
    except ConfigError:
        return False
    return True


def _is_fit_ca(path: Path, certificate: x509.Certificate) -> bool:
    if certificate != authority().certificate:
        return False
    try:
        check_ca_as_signer(path, certificate, NOW)
    except ConfigError:
        return False
    return True


def pem_files() -> list[bytes]:
    found = [one.public_bytes(Encoding.PEM) for one in _certificates()]
    key = _key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return [
        found[0],
        b"remark\n" + b"".join(found[:2]),
        found[0].replace(b"\n", b"\r\n") + key + found[1],
        found[0].replace(b"CERTIFICATE", b"X509 CERTIFICATE"),
        found[0].replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
        found[0][:-30],
        b"-----BEGIN CERTIFICATE-----\n" + found[0],
    ]


def check_pem(data: bytes) -> None:
    """Where nothing is refused, cryptography finds the same certificates, if it takes them at all."""
    found = list(pem_file(BytesIO(data)))
    assert [line for line, _ in found] == sorted(line or 0 for line, _ in found)
    assert len(found) <= data.count(b"-----") + 1
    if any(isinstance(one, RowError) for _, one in found):
        return
    try:
        theirs = x509.load_pem_x509_certificates(data)
    except UNREADABLE:
        return
    assert [one for _, one in found] == [one.public_bytes(Encoding.DER) for one in theirs]


def key_files() -> list[bytes]:
    keys = [ec.generate_private_key(curve()) for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP256K1)]
    return [
        key.private_bytes(Encoding.PEM, form, NoEncryption())
        for key in keys
        for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)
    ]


def check_key(data: bytes) -> None:
    """A key that is read signs what it verifies."""
    try:
        key = load_key(written(data))
    except ConfigError:
        return
    assert key.verify(b"x", key.sign_der(b"x"))


def pkcs12_files() -> list[bytes]:
    """Without encryption, and with one round of it: who makes such a file chooses how long it takes to open."""
    key, (certificate, other) = _key(), list(_certificates())[-2:]
    quick = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(1)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .build(PASSWORD)
    )
    made = pkcs12.serialize_key_and_certificates
    return [
        made(b"x", key, other, None, NoEncryption()),
        made(None, key, None, [certificate, other], NoEncryption()),
        made(None, None, certificate, None, NoEncryption()),
        made(b"x", key, other, None, quick),
    ]


def check_pkcs12(data: bytes) -> None:
    """With a password and without one."""
    path = written(data)
    for password in (None, written(PASSWORD, "password")):
        try:
            key, certificate = load_key_and_certificate(path, password)
        except ConfigError:
            continue
        assert key.verify(b"x", key.sign_der(b"x"))
        assert certificate is None or key.public_key == certificate.public_key()
