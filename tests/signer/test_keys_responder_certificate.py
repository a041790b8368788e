import datetime
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from _fastpath import der
from _fastpath.certid import IssuerID
from signer.keys.file import EcKey
from signer.keys.responder_certificate import (
    OcspSigner,
    check_ca_as_signer,
    check_responder_certificate,
    key_matches,
)
from store.errors import ConfigError
from store.model import Issuer, public_key_bits, subject_name

NOW = 1_790_000_000
DAY = 86_400
PATH = Path("responder.pem")
OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING


def moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def usage(*, digital_signature: bool = True, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(digital_signature, False, False, False, False, crl_sign, crl_sign, False, False)


@dataclass(frozen=True)
class Ca:
    """A CA and its key."""

    key: ec.EllipticCurvePrivateKey
    issuer: Issuer


def make_ca(name: str, *, digital_signature: bool = True, end: int = NOW + 1000 * DAY) -> Ca:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        .not_valid_before(moment(NOW - DAY))
        .not_valid_after(moment(end))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .add_extension(usage(digital_signature=digital_signature, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    return Ca(
        key, Issuer(name, certificate, IssuerID(subject_name(certificate), public_key_bits(certificate)))
    )


CA = make_ca("CA")
KEY = ec.generate_private_key(ec.SECP256R1())
FIT: dict[str, tuple[x509.ExtensionType, bool]] = {
    "eku": (x509.ExtendedKeyUsage([OCSP_SIGNING]), False),
    "nocheck": (x509.OCSPNoCheck(), False),
    "usage": (usage(), True),
    "aki": (x509.AuthorityKeyIdentifier.from_issuer_public_key(CA.key.public_key()), False),
    "ski": (x509.SubjectKeyIdentifier.from_public_key(KEY.public_key()), False),
}
Changes = dict[str, tuple[x509.ExtensionType, bool] | None]


def responder(
    changes: Changes | None = None,
    *,
    begin: int = NOW - DAY,
    end: int = NOW + 30 * DAY,
    ca: Ca = CA,
    name: str = "CA",
) -> x509.Certificate:
    """A fit responder certificate with some extensions changed, added or (None) left out."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "responder")])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(issuer, subject, KEY.public_key(), 1 << 100)
    builder = builder.not_valid_before(moment(begin)).not_valid_after(moment(end))
    for extension in {**FIT, **(changes or {})}.values():
        if extension is not None:
            builder = builder.add_extension(extension[0], critical=extension[1])
    return builder.sign(ca.key, hashes.SHA256())


def defect(certificate: x509.Certificate) -> str:
    with pytest.raises(ConfigError) as caught:
        check_responder_certificate(PATH, certificate, CA.issuer, NOW)
    assert caught.value.message.startswith("responder.pem: unfit as a responder certificate: ")
    assert caught.value.remedy
    return caught.value.message


@pytest.mark.conformance("D-02", "D-03", "D-04", "D-05", "D-06")
def test_a_fit_one_passes() -> None:
    check_responder_certificate(PATH, responder(), CA.issuer, NOW)
    empty: Changes = {"constraints": (x509.BasicConstraints(False, None), True)}
    check_responder_certificate(PATH, responder(empty), CA.issuer, NOW)


POINT = x509.DistributionPoint([x509.UniformResourceIdentifier("http://c.example/0.crl")], None, None, None)
DEFECTS: dict[str, tuple[Changes, str]] = {
    "no-eku": ({"eku": None}, "D-02"),
    "second-eku": (
        {"eku": (x509.ExtendedKeyUsage([OCSP_SIGNING, ExtendedKeyUsageOID.SERVER_AUTH]), False)},
        "D-02",
    ),
    "other-eku": ({"eku": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)}, "D-02"),
    "no-nocheck": ({"nocheck": None}, "D-03"),
    "critical-nocheck": ({"nocheck": (x509.OCSPNoCheck(), True)}, "D-03"),
    "no-key-usage": ({"usage": None}, "D-04"),
    "usage-not-critical": ({"usage": (usage(), False)}, "D-04"),
    "usage-more": ({"usage": (usage(crl_sign=True), True)}, "D-04"),
    "is-ca": ({"constraints": (x509.BasicConstraints(True, None), True)}, "D-05"),
    "constraints-not-critical": ({"constraints": (x509.BasicConstraints(False, None), False)}, "D-05"),
    "no-aki": ({"aki": None}, "D-06"),
    "aki-with-serial": (
        {
            "aki": (
                x509.AuthorityKeyIdentifier(
                    b"k" * 20, [x509.DirectoryName(CA.issuer.certificate.subject)], 1
                ),
                False,
            )
        },
        "D-06",
    ),
    "crl-distribution-point": ({"cdp": (x509.CRLDistributionPoints([POINT]), False)}, "D-06"),
    "alternative-name": ({"san": (x509.SubjectAlternativeName([x509.DNSName("a.example")]), False)}, "D-06"),
    "name-constraints": ({"nc": (x509.NameConstraints([x509.DNSName("a.example")], None), True)}, "D-06"),
}


@pytest.mark.conformance("D-02", "D-03", "D-04", "D-05", "D-06")
@pytest.mark.invariant("G3")
@pytest.mark.parametrize(("changes", "row"), DEFECTS.values(), ids=DEFECTS)
def test_each_defect_stops_the_start(changes: Changes, row: str) -> None:
    assert defect(responder(changes)).endswith(f"({row})")


@pytest.mark.conformance("D-01")
@pytest.mark.invariant("G3")
def test_another_issuer_name_or_key_is_refused() -> None:
    twin = make_ca("CA")
    assert "not signed by the key of issuer CA (D-01)" in defect(responder(ca=twin))
    assert "issued by another name than issuer CA's (D-01)" in defect(responder(name="other"))


@pytest.mark.conformance("D-08")
@pytest.mark.invariant("G3")
def test_times_are_looked_at() -> None:
    assert "not valid before" in defect(responder(begin=NOW + 1))
    assert "expired at" in defect(responder(end=NOW))
    check_responder_certificate(PATH, responder(begin=NOW, end=NOW + 1), CA.issuer, NOW)


@pytest.mark.invariant("G3")
@pytest.mark.conformance("D-06")
def test_an_extension_twice_is_a_defect_not_a_crash() -> None:
    """No builder writes this: the octets are changed and the certificate is signed again."""
    twin = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.48.1.6"), b"\x05\x00")
    tbs = responder({"twin": (twin, False)}).tbs_certificate_bytes
    tbs = tbs.replace(bytes.fromhex("2b0601050507300106"), bytes.fromhex("2b0601050507300105"))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    signature = CA.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    certificate = der.encode(0x30, tbs + algorithm + der.encode(0x03, b"\0" + signature))
    assert "its extensions cannot be read" in defect(x509.load_der_x509_certificate(certificate))


@pytest.mark.invariant("G3")
@pytest.mark.conformance("D-09")
def test_the_ca_itself_needs_digital_signature() -> None:
    check_ca_as_signer(PATH, CA.issuer.certificate, NOW)
    with pytest.raises(ConfigError, match=r"lacks digitalSignature \(D-09\)"):
        check_ca_as_signer(PATH, make_ca("x", digital_signature=False).issuer.certificate, NOW)
    with pytest.raises(ConfigError, match="has expired"):
        check_ca_as_signer(PATH, make_ca("x", end=NOW).issuer.certificate, NOW)


@pytest.mark.conformance("D-08")
@pytest.mark.invariant("G3")
def test_a_key_matches_its_certificate_only() -> None:
    assert key_matches(EcKey(KEY), responder())
    assert not key_matches(EcKey(CA.key), responder())


@pytest.mark.conformance("R-04")
def test_the_responder_id_is_what_openssl_computes(tmp_path: Path) -> None:
    signer = OcspSigner(EcKey(KEY), responder(), b"")
    path = tmp_path / "responder.pem"
    path.write_bytes(signer.certificate.public_bytes(Encoding.PEM))
    openssl = shutil.which("openssl")
    assert openssl is not None
    found = subprocess.run(
        [openssl, "x509", "-in", path, "-noout", "-ocspid"], check=True, capture_output=True, text=True
    )
    assert f"Public key OCSP hash: {signer.key_hash.hex().upper()}" in found.stdout
    assert signer.not_after == NOW + 30 * DAY
