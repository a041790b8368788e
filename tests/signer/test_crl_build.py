"""Building CRLs: every kind of key, every scope, and what openssl says of a certificate on one."""

import datetime
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type

from _fastpath.crl_reader import Crl
from _fastpath.der import encode
from signer.crl.algorithms import allowed_algorithms, verify
from signer.crl.build import CrlEntry, CrlScope, build_shard
from signer.crl.lint import lint_crl
from store.errors import ConfigError
from tests.signer.crl_authority import ALGORITHMS, NOW, URL, crl_fields, make_authority, revoked_entries

AUTHORITY = make_authority()


@pytest.mark.conformance("A-01", "C-03")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_key_of_a01_and_a03_signs_what_cryptography_verifies(algorithm: str) -> None:
    authority = make_authority(algorithm)
    data = build_shard(authority, crl_fields(), revoked_entries(5))
    parsed = x509.load_der_x509_crl(data)
    public_key = authority.certificate.public_key()
    crl = Crl(data)
    assert crl.signature_algorithm.hex() == ALGORITHMS[algorithm]
    assert crl.signature_algorithm in allowed_algorithms(public_key)
    assert parsed.tbs_certlist_bytes == crl.tbs_cert_list
    verify(parsed, public_key, crl.signature, crl.tbs_cert_list)
    assert parsed.is_signature_valid(public_key)  # type: ignore[arg-type]


def test_entries_are_read_once_and_kept_in_order() -> None:
    entries = revoked_entries(300)

    def once() -> Iterator[CrlEntry]:
        yield from entries

    assert list(Crl(build_shard(AUTHORITY, crl_fields(), once()))) == entries


@pytest.mark.conformance("C-01", "C-06", "C-13")
@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("scope", CrlScope)
def test_pkilint_finds_nothing_at_all(count: int, scope: CrlScope) -> None:
    entries = [(serial, time, reason or 4) for serial, time, reason in revoked_entries(count)]
    data = build_shard(AUTHORITY, replace(crl_fields(), scope=scope), entries)
    assert lint_crl(data, scope, severity="INFO") == []


@pytest.mark.conformance("C-07", "C-10", "C-11")
@pytest.mark.parametrize(
    ("scope", "user", "ca"),
    [(CrlScope.USER_CERTIFICATES, True, False), (CrlScope.CA_CERTIFICATES, False, True)],
)
def test_scope_is_said_in_the_distribution_point(scope: CrlScope, user: bool, ca: bool) -> None:
    data = build_shard(AUTHORITY, replace(crl_fields(), scope=scope), [])
    extension = x509.load_der_x509_crl(data).extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert extension.critical
    assert extension.value.full_name == [x509.UniformResourceIdentifier(URL)]
    assert (extension.value.only_contains_user_certs, extension.value.only_contains_ca_certs) == (user, ca)


@pytest.mark.conformance("C-02")
@pytest.mark.parametrize(
    ("spelling", "octets"),
    [
        (_ASN1Type.PrintableString, "130141"),
        (_ASN1Type.IA5String, "160141"),
        (_ASN1Type.BMPString, "1e020041"),
    ],
)
def test_the_issuer_is_spelled_as_in_the_certificate(spelling: _ASN1Type, octets: str) -> None:
    """Clients compare names as octets: the same letters as UTF8String are another CA's."""
    data = build_shard(make_authority(name="A", spelling=spelling), crl_fields(), [])
    value = bytes.fromhex("0603550403" + octets)
    assert Crl(data).issuer_name == encode(0x30, encode(0x31, encode(0x30, value)))


@pytest.mark.conformance("C-12")
def test_a_full_crl_carries_no_distribution_point() -> None:
    crl = Crl(build_shard(AUTHORITY, crl_fields(url=None), []))
    assert crl.issuing_distribution_point is None


@pytest.mark.conformance("C-04")
def test_a_ca_without_crl_sign_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no cRLSign"):
        make_authority(crl_sign=False)


@pytest.mark.conformance("C-07")
def test_a_ca_without_key_identifier_is_refused() -> None:
    with pytest.raises(ConfigError, match="no subjectKeyIdentifier"):
        make_authority(key_identifier=False)


@pytest.mark.conformance("C-15", "C-21")
def test_an_entry_that_may_not_stand_in_a_crl_is_named() -> None:
    with pytest.raises(ValueError, match="entry 1, serial 05: reason 6"):
        build_shard(AUTHORITY, crl_fields(), [(b"\x04", NOW, 0), (b"\x05", NOW, 6)])


def leaf(serial: int, url: str) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
    ca_key = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "leaf")]))
        .issuer_name(AUTHORITY.certificate.subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(datetime.datetime.fromtimestamp(NOW - 1_000, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(NOW + 10**6, datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.CRLDistributionPoints([point]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


@pytest.mark.conformance("C-09")
@pytest.mark.parametrize(
    ("serial", "url", "answer"),
    [
        pytest.param(7, URL, "OK", id="not-revoked"),
        pytest.param(0xF5, URL, "error 23", id="revoked"),  # certificate revoked
        pytest.param(
            7, URL.replace("/crl/", "/CRL/"), "error 44", id="url-in-other-case"
        ),  # different CRL scope
        pytest.param(7, URL.replace("/crl/", "//crl/"), "error 44", id="url-with-double-slash"),
    ],
)
def test_openssl_verifies_a_certificate_against_its_shard(
    serial: int, url: str, answer: str, tmp_path: Path
) -> None:
    """C-09's own test."""
    data = build_shard(AUTHORITY, crl_fields(), [(b"\xf5", NOW - 100, 1)])
    pem = serialization.Encoding.PEM
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.certificate.public_bytes(pem))
    (tmp_path / "leaf.pem").write_bytes(leaf(serial, url).public_bytes(pem))
    (tmp_path / "shard.pem").write_bytes(x509.load_der_x509_crl(data).public_bytes(pem))
    command = f"openssl verify -crl_check -attime {NOW} -CAfile ca.pem -CRLfile shard.pem leaf.pem"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert answer in done.stdout + done.stderr
    assert (done.returncode == 0) == (answer == "OK")
