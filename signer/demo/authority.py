"""The demo's CA: keys, certificates and an index.txt, laid out as `openssl ca` keeps them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Sample", "create_authority"]

DAY = timedelta(days=1)
SAMPLE_LIFE = 59 * DAY
# One revoked certificate in a hundred, with these reasons in turn; certificateHold is one that no CRL of a public
# CA may carry (BR 7.2.2): the import keeps the revocation and drops the reason.
REASONS = ("", "keyCompromise", "superseded", "cessationOfOperation", "affiliationChanged", "certificateHold")

OPENSSL_CONFIG = """\
# For `openssl ca -config openssl.cnf -revoke FILE`; then `ocsp-signer import` again.
[ca]
default_ca = demo
[demo]
dir = .
database = $dir/index.txt
new_certs_dir = $dir
serial = $dir/serial
certificate = $dir/ca.pem
private_key = $dir/ca.key
default_md = sha256
default_days = 90
unique_subject = no
policy = any
[any]
commonName = supplied
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """A certificate that exists as a file, for clients to ask about."""

    path: Path
    serial: int


@dataclass(frozen=True, slots=True)
class Authority:
    """What was made."""

    directory: Path
    index: Path
    good: Sample
    revoked: Sample


def create_authority(
    directory: Path, certificates: int, now: int, ocsp_url: str, crl_url: Callable[[int], str], seed: int
) -> Authority:
    """Make the CA's files. `certificates` rows in index.txt; two of them (good, revoked) also as certificates.

    `crl_url` gives the distribution point of a serial.
    """
    moment = datetime.fromtimestamp(now, UTC)
    chooser = random.Random(seed)
    ca_key, ca = _authority_certificate(moment)
    _write_key(directory / "ca.key", ca_key)
    (directory / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    responder_key = ec.generate_private_key(ec.SECP256R1())
    responder = _responder_certificate(ca, ca_key, responder_key, moment)
    _write_key(directory / "responder.key", responder_key)
    (directory / "responder.pem").write_bytes(responder.public_bytes(Encoding.PEM))
    serials = [chooser.getrandbits(126) | 1 << 126 for _ in range(certificates)]
    samples = []
    for name, serial in (("good", serials[1]), ("revoked", serials[0])):
        leaf = _leaf(ca, ca_key, name, serial, moment, ocsp_url, crl_url(serial))
        (directory / f"{name}.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
        samples.append(Sample(directory / f"{name}.pem", serial))
    index = directory / "index.txt"
    index.write_text("".join(_rows(serials, moment, chooser)))
    (directory / "index.txt.attr").write_text("unique_subject = no\n")
    (directory / "serial").write_text(f"{chooser.getrandbits(126) | 1 << 126:X}\n")
    (directory / "openssl.cnf").write_text(OPENSSL_CONFIG)
    return Authority(directory, index, good=samples[0], revoked=samples[1])


def _rows(serials: list[int], moment: datetime, chooser: random.Random) -> Iterator[str]:
    """Rows of index.txt: status, end, revocation, serial, file, subject; every hundredth is revoked."""
    revocations = 0
    for number, serial in enumerate(serials):
        end = moment + (SAMPLE_LIFE if number < 2 else chooser.randrange(10, 90) * DAY)
        status, revoked = "V", ""
        if number % 100 == 0:
            when = moment - timedelta(seconds=chooser.randrange(60, 30 * 86_400))
            reason = REASONS[revocations % len(REASONS)]
            status, revoked = "R", f"{when:%y%m%d%H%M%SZ}" + (f",{reason}" if reason else "")
            revocations += 1
        yield f"{status}\t{end:%y%m%d%H%M%SZ}\t{revoked}\t{serial:X}\tunknown\t/CN=host-{number}.example\n"


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, sign: bool) -> x509.KeyUsage:
    """digitalSignature, and for the CA keyCertSign and cRLSign."""
    return x509.KeyUsage(True, False, False, False, False, sign, sign, False, False)


def _authority_certificate(moment: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("ocspeed demo CA")
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(moment - 40 * DAY)
        .not_valid_after(moment + 3650 * DAY)
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(_key_usage(sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return key, builder.sign(key, hashes.SHA256())


def _issued(
    ca: x509.Certificate, common_name: str, key: ec.EllipticCurvePublicKey, serial: int
) -> x509.CertificateBuilder:
    authority_key = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_key)
    return (
        x509.CertificateBuilder(ca.subject, _name(common_name), key, serial)
        .add_extension(identifier, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _responder_certificate(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    moment: datetime,
) -> x509.Certificate:
    """A delegated responder certificate as conformance D-01 to D-08 want it (RFC 6960 section 4.2.2.2)."""
    builder = (
        _issued(ca, "ocspeed demo OCSP responder", key.public_key(), x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + 60 * DAY)
        .add_extension(_key_usage(sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
        .add_extension(x509.OCSPNoCheck(), critical=False)
    )
    return builder.sign(ca_key, hashes.SHA256())


def _leaf(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    name: str,
    serial: int,
    moment: datetime,
    ocsp_url: str,
    crl_url: str,
) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    access = x509.AccessDescription(
        AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp_url)
    )
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
    builder = (
        _issued(ca, f"{name}.example", key.public_key(), serial)
        .not_valid_before(moment - 31 * DAY)
        .not_valid_after(moment + SAMPLE_LIFE)
        .add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        .add_extension(x509.CRLDistributionPoints([point]), critical=False)
    )
    return builder.sign(ca_key, hashes.SHA256())
